/** Only paths of this portal: a crafted ?return= must not send anybody elsewhere. */
export const safeReturn = (target: string | undefined) =>
  target?.startsWith('/') && !/^\/[/\\]/.test(target) ? target : '/'
