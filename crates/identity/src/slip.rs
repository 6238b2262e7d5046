//! Codes that people read from paper or from a screen and type: letters and digits that are not mistaken for one
//! another, in groups of four.

use zeroize::Zeroizing;

use crate::secret::random;
use crate::{NoEntropy, Secret};

/// Crockford's base 32 in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `N` random letters: five bits each.
pub(crate) fn letters<const N: usize>() -> Result<Zeroizing<String>, NoEntropy> {
    let bytes = Zeroizing::new(random::<N>()?);
    // 32 divides 256, so the remainder is as random as the byte.
    Ok(bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect::<String>().into())
}

/// As it is shown: `xxxx-xxxx`.
pub(crate) fn grouped(letters: &str) -> Secret {
    let mut out = Zeroizing::new(String::with_capacity(letters.len() * 5 / 4));
    for (index, letter) in letters.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            out.push('-');
        }
        out.push(letter);
    }
    Secret::new(out.as_str())
}

/// As it was meant: case, blanks and dashes do not matter, and neither do `o`, `i` and `l` for the digits they look
/// like. What is longer than `most` letters stays too long.
pub(crate) fn read(typed: &str, most: usize) -> Zeroizing<String> {
    let meant = |c: char| match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    };
    let kept = typed.chars().filter(|c| c.is_ascii_alphanumeric()).take(most + 1);
    kept.map(meant).collect::<String>().into()
}
