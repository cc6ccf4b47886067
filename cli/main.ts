#!/usr/bin/env node
import { processIo } from './io.js';
import { run } from './run.js';

const { io, failed } = processIo();
const status = await run(process.argv.slice(2), io);
// Not process.exit(): what is still on its way to a pipe must arrive.
process.exitCode = failed() ? 1 : status;
