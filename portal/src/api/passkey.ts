/** WebAuthn's JSON forms. Browsers without the JSON methods (Safari before 18.4) get the conversion by hand. */

export type PasskeyBegin<T> = { ceremony: string; publicKey: T }

const fromBase64Url = (text: string) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))

function toBase64Url(buffer: ArrayBuffer) {
  const text = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join('')
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

const descriptors = (list: PublicKeyCredentialDescriptorJSON[] | undefined) =>
  list?.map((item) => ({ ...item, id: fromBase64Url(item.id) }) as PublicKeyCredentialDescriptor)

function creationOptions(json: PublicKeyCredentialCreationOptionsJSON): PublicKeyCredentialCreationOptions {
  if (PublicKeyCredential.parseCreationOptionsFromJSON) return PublicKeyCredential.parseCreationOptionsFromJSON(json)
  return {
    ...json,
    challenge: fromBase64Url(json.challenge),
    user: { ...json.user, id: fromBase64Url(json.user.id) },
    excludeCredentials: descriptors(json.excludeCredentials),
  } as PublicKeyCredentialCreationOptions
}

function requestOptions(json: PublicKeyCredentialRequestOptionsJSON): PublicKeyCredentialRequestOptions {
  if (PublicKeyCredential.parseRequestOptionsFromJSON) return PublicKeyCredential.parseRequestOptionsFromJSON(json)
  return {
    ...json,
    challenge: fromBase64Url(json.challenge),
    allowCredentials: descriptors(json.allowCredentials),
  } as PublicKeyCredentialRequestOptions
}

function credentialJson(credential: PublicKeyCredential): unknown {
  if (typeof credential.toJSON === 'function') return credential.toJSON()
  const response: Record<string, unknown> = { clientDataJSON: toBase64Url(credential.response.clientDataJSON) }
  if (credential.response instanceof AuthenticatorAttestationResponse) {
    response.attestationObject = toBase64Url(credential.response.attestationObject)
    response.transports = credential.response.getTransports()
  }
  if (credential.response instanceof AuthenticatorAssertionResponse) {
    response.authenticatorData = toBase64Url(credential.response.authenticatorData)
    response.signature = toBase64Url(credential.response.signature)
    if (credential.response.userHandle) response.userHandle = toBase64Url(credential.response.userHandle)
  }
  return {
    id: credential.id,
    rawId: toBase64Url(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: credential.getClientExtensionResults(),
  }
}

export const passkeysSupported = () => typeof PublicKeyCredential !== 'undefined'

export async function createPasskey(options: PublicKeyCredentialCreationOptionsJSON): Promise<unknown> {
  const credential = await navigator.credentials.create({ publicKey: creationOptions(options) })
  return credentialJson(credential as PublicKeyCredential)
}

/** With `conditional` the browser offers passkeys inside the user-name field and waits, without a dialog. */
export async function getPasskey(
  options: PublicKeyCredentialRequestOptionsJSON,
  { conditional = false, signal }: { conditional?: boolean; signal?: AbortSignal } = {},
): Promise<unknown> {
  const credential = await navigator.credentials.get({
    publicKey: requestOptions(options),
    signal,
    ...(conditional ? { mediation: 'conditional' as const } : {}),
  })
  return credentialJson(credential as PublicKeyCredential)
}

/** The person closed the browser's dialog, or we aborted it: not an error to show. */
export const wasDismissed = (error: unknown) =>
  error instanceof DOMException && (error.name === 'NotAllowedError' || error.name === 'AbortError')
