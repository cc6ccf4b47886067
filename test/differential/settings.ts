/** CI asks for the full product where `npm test` runs a cover in which every two values of two axes meet. */
export const FULL = process.env.ATTNC_FULL === '1';
