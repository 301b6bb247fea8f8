/**
 * The provider counts a request when it arrives, and of two requests the first may have been on its way for longer. So
 * what is counted here is kept by so much longer than the window lasts. See docs/decisions/0011-what-the-simulator-taught.md.
 */
export const ON_THE_WAY_MS = 250;
