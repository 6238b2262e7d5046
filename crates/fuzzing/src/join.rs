//! Join strings.

use sekisho_link::JoinString;

/// A join string that parses is the only text of what it says, and says where to go.
pub fn join(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let join = match JoinString::parse(text) {
        Ok(join) => join,
        Err(error) => {
            let said = error.to_string();
            let text = text.trim();
            assert!(text.len() < 10 || !said.contains(text), "a refusal repeats the secret");
            return;
        }
    };
    assert_eq!(join.to_text().as_str(), text.trim(), "two texts of one join string");
    let (host, port) = join.address.rsplit_once(':').expect("an address without a port");
    let number: u16 = port.parse().expect("a port that is no number");
    assert!(number.to_string() == port && number != 0, "{port}");
    assert!(!host.is_empty() && !host.contains(['/', '@', ' ']), "{host}");
}
