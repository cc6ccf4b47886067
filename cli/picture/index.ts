/** Pictures of attention masks: as text, SVG and PNG. */
export { pictureFromBoxes, pictureFromPairs, shrink } from './picture.js';
export type { CellContent, Picture, PictureOptions, PictureTile } from './picture.js';
export { pictureToText, tilesToText } from './text.js';
export type { TextOptions, TileKind } from './text.js';
export { pictureToSvg } from './svg.js';
export { pictureToPng } from './png.js';
