// Node believes that it is the dynamic linker that it was started through. Whatever forks itself (ava's processes,
// our tests) must start the script beside this file instead.

const { join } = require('node:path');

process.execPath = join(__dirname, 'node');
process.argv[0] = process.execPath;
