// Generated from grammar/parser.ts by test/tools/generate-grammar.ts; not to be edited.
import type { CstNode, ICstVisitor, IToken } from "chevrotain";

export interface FileCstNode extends CstNode {
  name: "file";
  children: FileCstChildren;
}

export type FileCstChildren = {
  importFile?: ImportFileCstNode[];
  pattern?: PatternCstNode[];
  EOF: IToken[];
};

export interface ImportFileCstNode extends CstNode {
  name: "importFile";
  children: ImportFileCstChildren;
}

export type ImportFileCstChildren = {
  Import: IToken[];
  Text: IToken[];
  Semicolon?: IToken[];
};

export interface PatternCstNode extends CstNode {
  name: "pattern";
  children: PatternCstChildren;
}

export type PatternCstChildren = {
  Pattern: IToken[];
  Identifier: IToken[];
  parameters?: ParametersCstNode[];
  items: ItemsCstNode[];
};

export interface ParametersCstNode extends CstNode {
  name: "parameters";
  children: ParametersCstChildren;
}

export type ParametersCstChildren = {
  LeftParen: IToken[];
  parameter?: ParameterCstNode[];
  Comma?: IToken[];
  LastComma?: IToken[];
  RightParen: IToken[];
};

export interface ParameterCstNode extends CstNode {
  name: "parameter";
  children: ParameterCstChildren;
}

export type ParameterCstChildren = {
  Key: IToken[];
  Colon: IToken[];
  Identifier: IToken[];
  LeftBracket?: IToken[];
  RightBracket?: IToken[];
  In?: IToken[];
  range?: RangeCstNode[];
  Assign: IToken[];
  expression: ExpressionCstNode[];
};

export interface ItemsCstNode extends CstNode {
  name: "items";
  children: ItemsCstChildren;
}

export type ItemsCstChildren = {
  LeftBrace: IToken[];
  labelled?: LabelledCstNode[];
  letName?: LetNameCstNode[];
  restrict?: RestrictCstNode[];
  forEach?: ForEachCstNode[];
  overlaps?: OverlapsCstNode[];
  score?: ScoreCstNode[];
  mix?: MixCstNode[];
  inputTable?: InputTableCstNode[];
  tokens?: TokensCstNode[];
  align?: AlignCstNode[];
  Semicolon?: IToken[];
  RightBrace: IToken[];
};

export interface LabelledCstNode extends CstNode {
  name: "labelled";
  children: LabelledCstChildren;
}

export type LabelledCstChildren = {
  Label?: IToken[];
  Colon?: IToken[];
  rule?: RuleCstNode[];
  items?: ItemsCstNode[];
  include?: IncludeCstNode[];
};

export interface RuleCstNode extends CstNode {
  name: "rule";
  children: RuleCstChildren;
}

export type RuleCstChildren = {
  From: IToken[];
  Arrow: IToken[];
  Identifier: IToken[];
  In?: IToken[];
  range?: RangeCstNode[];
  When?: IToken[];
  expression?: ExpressionCstNode[];
};

export interface RangeCstNode extends CstNode {
  name: "range";
  children: RangeCstChildren;
}

export type RangeCstChildren = {
  expression: ExpressionCstNode[];
  rangeEnd: RangeEndCstNode[];
};

export interface RangeEndCstNode extends CstNode {
  name: "rangeEnd";
  children: RangeEndCstChildren;
}

export type RangeEndCstChildren = {
  DotDot?: IToken[];
  DotDotLess?: IToken[];
  expression: (ExpressionCstNode)[];
  Step?: IToken[];
};

export interface LetNameCstNode extends CstNode {
  name: "letName";
  children: LetNameCstChildren;
}

export type LetNameCstChildren = {
  Let: IToken[];
  Identifier: IToken[];
  Assign: IToken[];
  expression: ExpressionCstNode[];
};

export interface RestrictCstNode extends CstNode {
  name: "restrict";
  children: RestrictCstChildren;
}

export type RestrictCstChildren = {
  Restrict: IToken[];
  expression: ExpressionCstNode[];
};

export interface IncludeCstNode extends CstNode {
  name: "include";
  children: IncludeCstChildren;
}

export type IncludeCstChildren = {
  Include: IToken[];
  Identifier: IToken[];
  callArguments?: CallArgumentsCstNode[];
};

export interface ForEachCstNode extends CstNode {
  name: "forEach";
  children: ForEachCstChildren;
}

export type ForEachCstChildren = {
  For: IToken[];
  Identifier?: (IToken)[];
  LeftParen?: IToken[];
  Comma?: IToken[];
  LastComma?: IToken[];
  RightParen?: IToken[];
  In: IToken[];
  expression: ExpressionCstNode[];
  rangeEnd?: RangeEndCstNode[];
  items: ItemsCstNode[];
};

export interface OverlapsCstNode extends CstNode {
  name: "overlaps";
  children: OverlapsCstChildren;
}

export type OverlapsCstChildren = {
  Overlaps: IToken[];
  Identifier: IToken[];
};

export interface ScoreCstNode extends CstNode {
  name: "score";
  children: ScoreCstChildren;
}

export type ScoreCstChildren = {
  Score: IToken[];
  Assign: IToken[];
  expression: ExpressionCstNode[];
};

export interface MixCstNode extends CstNode {
  name: "mix";
  children: MixCstChildren;
}

export type MixCstChildren = {
  Mix: IToken[];
  Assign: IToken[];
  Identifier: IToken[];
  callArguments?: CallArgumentsCstNode[];
};

export interface InputTableCstNode extends CstNode {
  name: "inputTable";
  children: InputTableCstChildren;
}

export type InputTableCstChildren = {
  Input: IToken[];
  Key: IToken[];
  Colon: IToken[];
  Identifier: IToken[];
  list?: ListCstNode[];
};

export interface TokensCstNode extends CstNode {
  name: "tokens";
  children: TokensCstChildren;
}

export type TokensCstChildren = {
  Tokens: IToken[];
  LeftParen: IToken[];
  axis: AxisCstNode[];
  Comma?: IToken[];
  LastComma?: IToken[];
  RightParen: IToken[];
};

export interface AxisCstNode extends CstNode {
  name: "axis";
  children: AxisCstChildren;
}

export type AxisCstChildren = {
  Key: IToken[];
  Colon: IToken[];
  Question?: IToken[];
  expression?: ExpressionCstNode[];
};

export interface AlignCstNode extends CstNode {
  name: "align";
  children: AlignCstChildren;
}

export type AlignCstChildren = {
  Align: IToken[];
  Identifier: IToken[];
};

export interface CallArgumentsCstNode extends CstNode {
  name: "callArguments";
  children: CallArgumentsCstChildren;
}

export type CallArgumentsCstChildren = {
  LeftParen: IToken[];
  argument?: ArgumentCstNode[];
  Comma?: IToken[];
  LastComma?: IToken[];
  RightParen: IToken[];
};

export interface ArgumentCstNode extends CstNode {
  name: "argument";
  children: ArgumentCstChildren;
}

export type ArgumentCstChildren = {
  Key?: IToken[];
  Colon?: IToken[];
  expression: ExpressionCstNode[];
};

export interface ExpressionCstNode extends CstNode {
  name: "expression";
  children: ExpressionCstChildren;
}

export type ExpressionCstChildren = {
  operand: (OperandCstNode)[];
  BinaryOperator?: IToken[];
};

export interface OperandCstNode extends CstNode {
  name: "operand";
  children: OperandCstChildren;
}

export type OperandCstChildren = {
  PrefixOperator?: IToken[];
  NumberLiteral?: IToken[];
  Boolean?: IToken[];
  Identifier?: IToken[];
  callArguments?: CallArgumentsCstNode[];
  list?: ListCstNode[];
  LeftParen?: IToken[];
  expression?: ExpressionCstNode[];
  RightParen?: IToken[];
  postfix?: PostfixCstNode[];
};

export interface PostfixCstNode extends CstNode {
  name: "postfix";
  children: PostfixCstChildren;
}

export type PostfixCstChildren = {
  Dot?: IToken[];
  Identifier?: IToken[];
  list?: ListCstNode[];
};

export interface ListCstNode extends CstNode {
  name: "list";
  children: ListCstChildren;
}

export type ListCstChildren = {
  LeftBracket: IToken[];
  expression?: ExpressionCstNode[];
  Comma?: IToken[];
  LastComma?: IToken[];
  RightBracket: IToken[];
};

export interface AttnVisitor<IN, OUT> extends ICstVisitor<IN, OUT> {
  file(children: FileCstChildren, param?: IN): OUT;
  importFile(children: ImportFileCstChildren, param?: IN): OUT;
  pattern(children: PatternCstChildren, param?: IN): OUT;
  parameters(children: ParametersCstChildren, param?: IN): OUT;
  parameter(children: ParameterCstChildren, param?: IN): OUT;
  items(children: ItemsCstChildren, param?: IN): OUT;
  labelled(children: LabelledCstChildren, param?: IN): OUT;
  rule(children: RuleCstChildren, param?: IN): OUT;
  range(children: RangeCstChildren, param?: IN): OUT;
  rangeEnd(children: RangeEndCstChildren, param?: IN): OUT;
  letName(children: LetNameCstChildren, param?: IN): OUT;
  restrict(children: RestrictCstChildren, param?: IN): OUT;
  include(children: IncludeCstChildren, param?: IN): OUT;
  forEach(children: ForEachCstChildren, param?: IN): OUT;
  overlaps(children: OverlapsCstChildren, param?: IN): OUT;
  score(children: ScoreCstChildren, param?: IN): OUT;
  mix(children: MixCstChildren, param?: IN): OUT;
  inputTable(children: InputTableCstChildren, param?: IN): OUT;
  tokens(children: TokensCstChildren, param?: IN): OUT;
  axis(children: AxisCstChildren, param?: IN): OUT;
  align(children: AlignCstChildren, param?: IN): OUT;
  callArguments(children: CallArgumentsCstChildren, param?: IN): OUT;
  argument(children: ArgumentCstChildren, param?: IN): OUT;
  expression(children: ExpressionCstChildren, param?: IN): OUT;
  operand(children: OperandCstChildren, param?: IN): OUT;
  postfix(children: PostfixCstChildren, param?: IN): OUT;
  list(children: ListCstChildren, param?: IN): OUT;
}
