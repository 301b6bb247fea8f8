/** Why nothing was registered: what is wrong, where, and what is allowed. Holds no value that could be a secret. */
export class RegisterError extends Error {
  static {
    this.prototype.name = 'RegisterError';
  }
}
