export { exportFlex, type ExportedFlex } from './flex/index.js';
