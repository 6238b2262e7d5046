//! From the first byte to where pictures come.

use des::Des;
use des::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{Refused, Secret, Size};

const NO_SECURITY: u8 = 1;
const PASSWORD: u8 = 2;
/// Longest reason or name that is read.
const LONGEST_TEXT: u32 = 64 << 10;

/// ZRLE, copies and plain pixels; then the pointer, other sizes, lock keys, scan codes, a clipboard in UTF-8.
const ENCODINGS: [i32; 9] =
    [16, 1, 0, super::rectangle::POINTER, -223, -308, -261, -258, super::clipboard::EXTENDED];

/// Logs in; the size of the picture.
pub(super) async fn login<R, W>(
    reader: &mut R,
    writer: &mut W,
    password: Option<&Secret>,
) -> Result<Size, Refused>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut version = [0; 12];
    reader.read_exact(&mut version).await?;
    // Others than 3.7 and 3.8 are to be taken for 3.3 (RFC 6143, 7.1.1); Apple's 3.889 knows 3.8.
    let (minor, say) = match &version {
        b"RFB 003.008\n" | b"RFB 003.889\n" | b"RFB 004.000\n" | b"RFB 004.001\n" | b"RFB 005.000\n" => {
            (8, b"RFB 003.008\n")
        }
        b"RFB 003.007\n" => (7, b"RFB 003.007\n"),
        _ if version.starts_with(b"RFB ") => (3, b"RFB 003.003\n"),
        _ => return Err(Refused::Protocol("it is no VNC server".into())),
    };
    writer.write_all(say).await?;
    let offered = if minor == 3 {
        let kind = reader.read_u32().await?;
        if kind == 0 { Vec::new() } else { vec![u8::try_from(kind).unwrap_or(0)] }
    } else {
        let mut kinds = vec![0; reader.read_u8().await?.into()];
        reader.read_exact(&mut kinds).await?;
        kinds
    };
    if offered.is_empty() {
        return Err(Refused::Security(text(reader).await?));
    }
    // Where there is a password it is used: then it is the machine's account that is checked, not nobody's.
    let kind = match password {
        Some(_) if offered.contains(&PASSWORD) => PASSWORD,
        _ if offered.contains(&NO_SECURITY) => NO_SECURITY,
        None if offered.contains(&PASSWORD) => return Err(Refused::NoPassword),
        _ => return Err(Refused::Security(format!("of the kinds {offered:?} none is VNC's password"))),
    };
    if minor > 3 {
        writer.write_all(&[kind]).await?;
    }
    if let (PASSWORD, Some(password)) = (kind, password) {
        let mut challenge = [0; 16];
        reader.read_exact(&mut challenge).await?;
        writer.write_all(&answer(password, challenge)).await?;
    }
    if (kind == PASSWORD || minor == 8) && reader.read_u32().await? != 0 {
        return Err(Refused::Credentials);
    }
    // Whoever else looks stays.
    writer.write_all(&[1]).await?;
    writer.flush().await?;
    let size = Size::said(reader.read_u16().await?, reader.read_u16().await?);
    let mut pixel_format = [0; 16];
    reader.read_exact(&mut pixel_format).await?;
    text(reader).await?;
    size.ok_or_else(|| Refused::Protocol("the picture has an impossible size".into()))
}

/// Text with its length.
async fn text<R: AsyncRead + Unpin>(reader: &mut R) -> Result<String, Refused> {
    let length = reader.read_u32().await?;
    if length > LONGEST_TEXT {
        return Err(Refused::Protocol("a text is too long".into()));
    }
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).take(300).collect())
}

/// The challenge under DES, whose key is the first eight bytes of the password with their bits turned round
/// (RFC 6143, 7.2.2).
fn answer(password: &Secret, challenge: [u8; 16]) -> [u8; 16] {
    let mut key = zeroize::Zeroizing::new([0; 8]);
    for (to, from) in key.iter_mut().zip(password.bytes()) {
        *to = from.reverse_bits();
    }
    let des = Des::new((&*key).into());
    let mut answer = challenge;
    for block in answer.chunks_exact_mut(8) {
        if let Ok(block) = block.try_into() {
            des.encrypt_block(block);
        }
    }
    answer
}

/// What is asked for at the beginning: pixels of 32 bits as `0x00RRGGBB` with the lowest byte first, encodings, and all of
/// the picture.
pub(super) fn wishes(size: Size) -> Vec<u8> {
    let mut say = vec![0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
    say.extend([2, 0]);
    say.extend((ENCODINGS.len() as u16).to_be_bytes());
    ENCODINGS.iter().for_each(|encoding| say.extend(encoding.to_be_bytes()));
    say.extend(request(size, false));
    say
}

/// Asks for what changes, or for all.
pub(super) fn request(size: Size, changes: bool) -> Vec<u8> {
    let mut say = vec![3, changes.into(), 0, 0, 0, 0];
    say.extend(size.width().to_be_bytes());
    say.extend(size.height().to_be_bytes());
    say
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_as_by_others_and_only_eight_bytes_of_a_password_count() {
        let of = |password: &str| answer(&Secret::new(password.to_owned()), [0; 16]);
        // By the DES of OpenSSL under the turned bits of `password`.
        assert_eq!(of("password")[..8], [255, 151, 80, 46, 148, 34, 240, 137]);
        assert_eq!(of("password"), of("password123"));
        assert_ne!(of("password"), of("passworD"));
        assert_eq!(of("password")[..8], of("password")[8..]);
    }

    async fn against(said: &[u8], password: Option<&str>) -> Result<Size, Refused> {
        let password = password.map(|p| Secret::new(p.to_owned()));
        login(&mut &said[..], &mut tokio::io::sink(), password.as_ref()).await
    }

    #[tokio::test]
    async fn what_a_server_says_at_first_is_taken_or_refused_with_a_reason() {
        let init = [&[0, 0, 0, 0, 2, 0, 1, 0][..], &[0; 16], &[0, 0, 0, 2], b"vm"].concat();
        let none = [b"RFB 003.008\n\x01\x01", &init[..]].concat();
        let size = against(&none, None).await.unwrap();
        assert_eq!((size.width(), size.height()), (512, 256));
        let bad = [&b"RFB 003.008\n\x01\x02"[..], &[0; 16], &[0, 0, 0, 1, 0, 0, 0, 2], b"no"].concat();
        assert!(matches!(against(&bad, Some("x")).await, Err(Refused::Credentials)));
        assert!(matches!(against(&bad, None).await, Err(Refused::NoPassword)));
        let tls = b"RFB 003.008\n\x02\x12\x13";
        assert!(matches!(against(tls, Some("x")).await, Err(Refused::Security(_))));
        let many = b"RFB 003.008\n\x00\x00\x00\x00\x04Wait";
        assert!(matches!(against(many, None).await, Err(Refused::Security(why)) if why == "Wait"));
        let long = b"RFB 003.008\n\x00\xff\xff\xff\xff";
        assert!(matches!(against(long, None).await, Err(Refused::Protocol(_))));
        assert!(matches!(against(b"SSH-2.0-OpenSSH_9.2\r\n", None).await, Err(Refused::Protocol(_))));
        assert!(matches!(against(b"RFB", None).await, Err(Refused::Io(_))));
    }
}
