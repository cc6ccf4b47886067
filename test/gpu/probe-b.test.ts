import test from 'ava';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { probeCases, prober } from './sample-probe.js';

// Two files, so that two processes share the work.
let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

for (const given of probeCases(1, 2)) {
  test.serial(`${given.sample.pattern}: the edge set, NaN, and padding`, async (t) => {
    const probe = prober(opened.device, given);
    t.deepEqual((await probe.maskProbe()).slice(0, 3), [], 'mask probe');
    t.deepEqual((await probe.nanRule()).slice(0, 3), [], 'NaN rule');
    t.deepEqual((await probe.padding()).slice(0, 3), [], 'padding');
  });
}
