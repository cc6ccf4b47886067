import test from 'ava';
import fc from 'fast-check';
import { parse, print } from '../../grammar/index.js';
import { files } from './arbitrary.js';
import { corpus, withoutSpans } from './corpus.js';

test('what is printed parses to the same tree, keeps every comment, and prints the same again', (t) => {
  let count = 0;
  for (const text of corpus()) {
    const { ast, diagnostics } = parse({ file: 'x', text });
    if (diagnostics.length > 0) continue;
    count++;
    const printed = print(ast);
    const again = parse({ file: 'x', text: printed });
    t.deepEqual(again.diagnostics, [], printed);
    t.is(withoutSpans(again.ast), withoutSpans(ast), printed);
    const words = (list: typeof ast.comments): string[] =>
      list.map((c) => c.text.replace(/^\/+\s*/, '').trimEnd()).sort();
    t.deepEqual(words(again.ast.comments), words(ast.comments), printed);
    t.is(print(again.ast), printed);
  }
  t.true(count >= 6);
});

test('the layout', (t) => {
  const text = `//top
import   "a.attn"
/// Doc.
pattern p(w:int=3){//open
a:i->j in 0..w when((i<j)and(w==3 or j<i))//same line
/*own line*/
{let x=(1+2)*3;i->j when x>-(w+1)**2}
for(a,b)in zip([1],[2,]){include q(a,w:b)} // last
}`;
  t.is(
    print(parse({ file: 'x', text }).ast),
    `//top
import "a.attn"

/// Doc.
pattern p(w: int = 3) { //open
  a: i -> j in 0 .. w when i < j and (w == 3 or j < i) //same line
  /*own line*/
  {
    let x = (1 + 2) * 3
    i -> j when x > -(w + 1) ** 2
  }
  for (a, b) in zip([1], [2]) {
    include q(a, w: b)
  } // last
}
`,
  );
});

test('random trees survive printing and parsing', (t) => {
  fc.assert(
    fc.property(files, (ast) => {
      const text = print(ast);
      const again = parse({ file: 'x', text });
      if (again.diagnostics.length > 0) throw new Error(`${again.diagnostics[0]!.message}\n${text}`);
      if (withoutSpans(again.ast) !== withoutSpans(ast)) throw new Error(`another tree:\n${text}`);
    }),
    { numRuns: 1000, seed: 20260101 },
  );
  t.pass();
});
