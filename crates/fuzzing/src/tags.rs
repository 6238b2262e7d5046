//! Azure's file of service tags.

use sekisho_nsg::resources::{ServiceTagFile, tag_changes};

/// A file that is taken has only names that rules can name and prefixes that packets can match, reads the same when it is
/// written again, and changes nothing about itself.
pub fn tags(data: &[u8]) {
    let Ok(file) = serde_json::from_slice::<ServiceTagFile>(data) else { return };
    let (tags, reserved) = match file.validate() {
        Ok(read) => read,
        Err(error) => {
            assert_eq!((error.status, error.code.as_str()), (400, "InvalidServiceTagFile"));
            return;
        }
    };
    assert!(tags.keys().all(|name| !reserved.iter().any(|r| r.eq_ignore_ascii_case(name))));
    for (name, tag) in &tags {
        assert_eq!(*name, tag.name.to_ascii_lowercase());
        assert_eq!(tag.prefixes().is_empty(), tag.properties.address_prefixes.is_empty());
        let again =
            serde_json::from_value(serde_json::to_value(tag).expect("a tag is JSON")).expect("and is a tag");
        assert_eq!(*tag, again);
    }
    assert!(tag_changes(&tags, &tags, 5).is_empty());
    assert_eq!(tag_changes(&Default::default(), &tags, 5).len(), tags.len());
}
