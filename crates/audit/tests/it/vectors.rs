//! The vectors of transparency-dev, on which the proofs of every log of that world are tested.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_audit::Hash;
use sekisho_audit::tree::{leaf_hash, proves_consistency, proves_inclusion};
use serde_json::Value;

/// Some are no hashes, which only have to be equal or not.
fn hash(value: &Value) -> Option<Hash> {
    let bytes = STANDARD.decode(value.as_str()?).ok().filter(|bytes| !bytes.is_empty())?;
    Some(bytes.as_slice().try_into().map_or_else(|_| leaf_hash(&bytes), Hash))
}

fn proof(case: &Value) -> Option<Vec<Hash>> {
    match &case["proof"] {
        Value::Null => Some(Vec::new()),
        all => all.as_array()?.iter().map(hash).collect(),
    }
}

#[test]
fn every_vector_of_inclusion_and_of_consistency_has_its_answer() {
    let all: Value = serde_json::from_str(include_str!("../vectors/merkle.json")).unwrap();
    let number = |case: &Value, name: &str| case[name].as_u64().unwrap();
    let inclusion = |case: &Value| {
        let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
        let tree = (number(case, "treeSize"), &root);
        Some(proves_inclusion(&leaf, number(case, "leafIdx"), tree, &proof(case)?))
    };
    let consistency = |case: &Value| {
        let roots = (hash(&case["root1"])?, hash(&case["root2"])?);
        let trees = ((number(case, "size1"), &roots.0), (number(case, "size2"), &roots.1));
        Some(proves_consistency(trees.0, trees.1, &proof(case)?))
    };
    let mut counted = 0;
    for (name, answer) in
        [("inclusion", &inclusion as &dyn Fn(&Value) -> Option<bool>), ("consistency", &consistency)]
    {
        for case in all[name].as_array().unwrap() {
            let wanted = case["wantErr"] == false;
            assert_eq!(answer(case).unwrap_or(false), wanted, "{case}");
            counted += 1;
        }
    }
    assert_eq!(counted, 196);
}
