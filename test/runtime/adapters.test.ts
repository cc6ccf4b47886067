// Which matrix kernels a device can run, by what its adapter says of subgroups and matrices.

import test from 'ava';
import type { MatrixNeeds } from '../../compiler/ir/program.js';
import { describeAdapter, matrixProblem, type AdapterFacts } from '../../runtime/adapters.js';

const NEEDS: MatrixNeeds = { m: 16, n: 16, k: 16, lanes: 32, scoreColumns: 8, lockstep: true };

const matrices = (M: number, N: number, K: number, resultComponentType = 'f32') => ({
  ...{ componentType: 'f16', resultComponentType },
  ...{ M, N, K },
});

const FACTS: AdapterFacts = {
  vendor: 'nvidia',
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
  subgroupMatrixConfigs: [matrices(16, 16, 16), matrices(16, 8, 16)],
};

const CASES: readonly (readonly [name: string, change: Partial<AdapterFacts>, says: RegExp | undefined])[] = [
  ['all there', {}, undefined],
  ['other subgroups', { subgroupMinSize: 16 }, /subgroups are of 16 to 32, not of 32/],
  ['a vendor not known for lockstep', { vendor: 'intel' }, /not known to run in lockstep/],
  ['no matrices', { subgroupMatrixConfigs: undefined }, /no matrices of 16 x 16 x 16/],
  ['none of the size', { subgroupMatrixConfigs: [matrices(16, 8, 16)] }, /no matrices of 16 x 16 x 16/],
  ['none for scores', { subgroupMatrixConfigs: [matrices(16, 16, 16)] }, /no matrices of 16 x 8 x 16/],
  [
    'sums of f16 alone',
    { subgroupMatrixConfigs: [matrices(16, 16, 16, 'f16'), matrices(16, 8, 16)] },
    /no matrices of 16 x 16 x 16, f16 to f32/,
  ],
];

for (const [name, change, says] of CASES) {
  test(name, (t) => {
    const device = {} as GPUDevice;
    describeAdapter(device, { ...FACTS, ...change } as unknown as GPUAdapterInfo);
    const problem = matrixProblem(device, NEEDS);
    if (says === undefined) t.is(problem, undefined);
    else t.regex(problem ?? '', says);
  });
}

test('nothing is known of a device that nobody described', (t) => {
  t.regex(matrixProblem({} as GPUDevice, NEEDS) ?? '', /not known/);
});
