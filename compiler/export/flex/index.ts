export { exportFlex, type ExportedFlex } from './export-flex.js';
