// The oracle reproduces what other programs computed in float64.

import test from 'ava';
import { checkSource } from '../../compiler/check/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { loadReference, REFERENCE_FILES, resolve, sourceOf } from './reference-files.js';

for (const file of REFERENCE_FILES) {
  test(`the oracle reproduces ${file.name}`, (t) => {
    const wanted = 'pattern' in file.source ? { pattern: file.source.pattern } : {};
    const { pattern, diagnostics } = checkSource(sourceOf(file), { ...wanted, set: file.set, resolve });
    if (!pattern) return t.fail(JSON.stringify(diagnostics));
    const { tensors, out, lse } = loadReference(file.name);
    const expected = reference(pattern, tensors);
    const comparison = compare({ out, lse }, expected);
    t.true(comparison.pass, JSON.stringify(comparison));
    // The files are float32: nothing but their rounding is left.
    t.true(comparison.whole.error < 1e-7, String(comparison.whole.error));
  });
}
