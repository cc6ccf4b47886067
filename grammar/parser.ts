/**
 * The grammar. One token of lookahead decides everywhere (see tokens.ts for how), expressions are flat lists of
 * operands and operators (precedence is to-expression.ts's business), and Chevrotain's recovery goes on after an
 * error, so that one run reports them all.
 */
import {
  CstParser,
  EOF,
  type CstNode,
  type IParserErrorMessageProvider,
  type IRecognitionException,
  type IToken,
  type ParserMethod,
} from 'chevrotain';
import * as t from './tokens.js';

/** Thrown out of the parser when a file is hopeless; recovering from each error of a binary file takes too long. */
export class TooManyErrors extends Error {}

const maxErrors = 1000;

type Rule = ParserMethod<[], CstNode>;

export class AttnParser extends CstParser {
  constructor(skipValidations = true) {
    let count = 0;
    // Only what was expected is passed on; syntax-errors.ts finds the words, with the tokens around at hand.
    const counted = (expected: string): string => {
      count++;
      if (count > maxErrors) {
        count = 0;
        throw new TooManyErrors();
      }
      return expected;
    };
    const errorMessageProvider: IParserErrorMessageProvider = {
      buildMismatchTokenMessage: ({ expected }) => counted(expected.name),
      buildNotAllInputParsedMessage: () => counted('EOF'),
      buildNoViableAltMessage: () => counted(''),
      buildEarlyExitMessage: () => counted(''),
    };
    super(t.allTokens, {
      recoveryEnabled: true,
      maxLookahead: 1,
      nodeLocationTracking: 'onlyOffset',
      skipValidations,
      errorMessageProvider,
    });
    this.restart = () => {
      count = 0;
    };
    this.performSelfAnalysis();
  }

  /** Starts counting errors anew. */
  private readonly restart: () => void;

  /** Parses tokens that context.ts has looked at. */
  run(tokens: IToken[]): {
    cst: CstNode | undefined;
    errors: readonly IRecognitionException[];
    complete: boolean;
  } {
    this.restart();
    this.input = tokens;
    try {
      const cst = this.file();
      return { cst, errors: this.errors, complete: true };
    } catch (error) {
      if (!(error instanceof TooManyErrors)) throw error;
      return { cst: undefined, errors: this.errors, complete: false };
    }
  }

  readonly file: Rule = this.RULE('file', () => {
    this.MANY(() => {
      this.OR([{ ALT: () => this.SUBRULE(this.importFile) }, { ALT: () => this.SUBRULE(this.pattern) }]);
    });
    this.CONSUME(EOF);
  });

  private readonly importFile: Rule = this.RULE('importFile', () => {
    this.CONSUME(t.Import);
    this.CONSUME(t.Text);
    this.OPTION(() => this.CONSUME(t.Semicolon));
  });

  private readonly pattern: Rule = this.RULE('pattern', () => {
    this.CONSUME(t.Pattern);
    this.CONSUME(t.Identifier);
    this.OPTION(() => this.SUBRULE(this.parameters));
    this.SUBRULE(this.items);
  });

  private readonly parameters: Rule = this.RULE('parameters', () => {
    this.CONSUME(t.LeftParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.parameter) });
    this.OPTION(() => this.CONSUME(t.LastComma));
    this.CONSUME(t.RightParen);
  });

  private readonly parameter: Rule = this.RULE('parameter', () => {
    this.CONSUME(t.Key);
    this.CONSUME(t.Colon);
    this.CONSUME(t.Identifier);
    this.OPTION(() => {
      this.CONSUME(t.LeftBracket);
      this.CONSUME(t.RightBracket);
    });
    this.OPTION2(() => {
      this.CONSUME(t.In);
      this.SUBRULE(this.range);
    });
    this.CONSUME(t.Assign);
    this.SUBRULE(this.expression);
  });

  private readonly items: Rule = this.RULE('items', () => {
    this.CONSUME(t.LeftBrace);
    this.MANY(() => {
      this.OR([
        { ALT: () => this.SUBRULE(this.labelled) },
        { ALT: () => this.SUBRULE(this.letName) },
        { ALT: () => this.SUBRULE(this.restrict) },
        { ALT: () => this.SUBRULE(this.forEach) },
        { ALT: () => this.SUBRULE(this.overlaps) },
        { ALT: () => this.SUBRULE(this.score) },
        { ALT: () => this.SUBRULE(this.mix) },
        { ALT: () => this.SUBRULE(this.input_) },
        { ALT: () => this.SUBRULE(this.tokens) },
        { ALT: () => this.SUBRULE(this.align) },
        { ALT: () => this.CONSUME(t.Semicolon) },
      ]);
    });
    this.CONSUME(t.RightBrace);
  });

  private readonly labelled: Rule = this.RULE('labelled', () => {
    this.OPTION(() => {
      this.CONSUME(t.Label);
      this.CONSUME(t.Colon);
    });
    this.OR([
      { ALT: () => this.SUBRULE(this.rule) },
      { ALT: () => this.SUBRULE(this.items) },
      { ALT: () => this.SUBRULE(this.include) },
    ]);
  });

  private readonly rule: Rule = this.RULE('rule', () => {
    this.CONSUME(t.From);
    this.CONSUME(t.Arrow);
    this.CONSUME(t.Identifier);
    this.OPTION(() => {
      this.CONSUME(t.In);
      this.SUBRULE(this.range);
    });
    this.OPTION2(() => {
      this.CONSUME(t.When);
      this.SUBRULE(this.expression);
    });
  });

  private readonly range: Rule = this.RULE('range', () => {
    this.SUBRULE(this.expression);
    this.SUBRULE(this.rangeEnd);
  });

  private readonly rangeEnd: Rule = this.RULE('rangeEnd', () => {
    this.OR([{ ALT: () => this.CONSUME(t.DotDot) }, { ALT: () => this.CONSUME(t.DotDotLess) }]);
    this.SUBRULE(this.expression);
    this.OPTION(() => {
      this.CONSUME(t.Step);
      this.SUBRULE2(this.expression);
    });
  });

  private readonly letName: Rule = this.RULE('letName', () => {
    this.CONSUME(t.Let);
    this.CONSUME(t.Identifier);
    this.CONSUME(t.Assign);
    this.SUBRULE(this.expression);
  });

  private readonly restrict: Rule = this.RULE('restrict', () => {
    this.CONSUME(t.Restrict);
    this.SUBRULE(this.expression);
  });

  private readonly include: Rule = this.RULE('include', () => {
    this.CONSUME(t.Include);
    this.CONSUME(t.Identifier);
    this.OPTION(() => this.SUBRULE(this.callArguments));
  });

  private readonly forEach: Rule = this.RULE('forEach', () => {
    this.CONSUME(t.For);
    this.OR([
      { ALT: () => this.CONSUME(t.Identifier) },
      {
        ALT: () => {
          this.CONSUME(t.LeftParen);
          this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.CONSUME2(t.Identifier) });
          this.OPTION(() => this.CONSUME(t.LastComma));
          this.CONSUME(t.RightParen);
        },
      },
    ]);
    this.CONSUME(t.In);
    this.SUBRULE(this.expression);
    this.OPTION2(() => this.SUBRULE(this.rangeEnd));
    this.SUBRULE(this.items);
  });

  private readonly overlaps: Rule = this.RULE('overlaps', () => {
    this.CONSUME(t.Overlaps);
    this.CONSUME(t.Identifier);
  });

  private readonly score: Rule = this.RULE('score', () => {
    this.CONSUME(t.Score);
    this.CONSUME(t.Assign);
    this.SUBRULE(this.expression);
  });

  private readonly mix: Rule = this.RULE('mix', () => {
    this.CONSUME(t.Mix);
    this.CONSUME(t.Assign);
    this.CONSUME(t.Identifier);
    this.OPTION(() => this.SUBRULE(this.callArguments));
  });

  // `input` is a property of Chevrotain's parser.
  private readonly input_: Rule = this.RULE('inputTable', () => {
    this.CONSUME(t.Input);
    this.CONSUME(t.Key);
    this.CONSUME(t.Colon);
    this.CONSUME(t.Identifier);
    this.OPTION(() => this.SUBRULE(this.list));
  });

  private readonly tokens: Rule = this.RULE('tokens', () => {
    this.CONSUME(t.Tokens);
    this.CONSUME(t.LeftParen);
    this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.axis) });
    this.OPTION(() => this.CONSUME(t.LastComma));
    this.CONSUME(t.RightParen);
  });

  private readonly axis: Rule = this.RULE('axis', () => {
    this.CONSUME(t.Key);
    this.CONSUME(t.Colon);
    this.OR([{ ALT: () => this.CONSUME(t.Question) }, { ALT: () => this.SUBRULE(this.expression) }]);
  });

  private readonly align: Rule = this.RULE('align', () => {
    this.CONSUME(t.Align);
    this.CONSUME(t.Identifier);
  });

  private readonly callArguments: Rule = this.RULE('callArguments', () => {
    this.CONSUME(t.LeftParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.argument) });
    this.OPTION(() => this.CONSUME(t.LastComma));
    this.CONSUME(t.RightParen);
  });

  private readonly argument: Rule = this.RULE('argument', () => {
    this.OPTION(() => {
      this.CONSUME(t.Key);
      this.CONSUME(t.Colon);
    });
    this.SUBRULE(this.expression);
  });

  private readonly expression: Rule = this.RULE('expression', () => {
    this.SUBRULE(this.operand);
    this.MANY(() => {
      this.CONSUME(t.BinaryOperator);
      this.SUBRULE2(this.operand);
    });
  });

  private readonly operand: Rule = this.RULE('operand', () => {
    this.MANY(() => this.CONSUME(t.PrefixOperator));
    this.OR([
      { ALT: () => this.CONSUME(t.NumberLiteral) },
      { ALT: () => this.CONSUME(t.Boolean) },
      {
        ALT: () => {
          this.CONSUME(t.Identifier);
          this.OPTION(() => this.SUBRULE(this.callArguments));
        },
      },
      { ALT: () => this.SUBRULE(this.list) },
      {
        ALT: () => {
          this.CONSUME(t.LeftParen);
          this.SUBRULE(this.expression);
          this.CONSUME(t.RightParen);
        },
      },
    ]);
    this.MANY2(() => this.SUBRULE(this.postfix));
  });

  private readonly postfix: Rule = this.RULE('postfix', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Dot);
          this.CONSUME(t.Identifier);
        },
      },
      { ALT: () => this.SUBRULE(this.list) },
    ]);
  });

  private readonly list: Rule = this.RULE('list', () => {
    this.CONSUME(t.LeftBracket);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.expression) });
    this.OPTION(() => this.CONSUME(t.LastComma));
    this.CONSUME(t.RightBracket);
  });
}
