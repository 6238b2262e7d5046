//! Notes and keys as other programs write them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use sekisho_audit::note::{NoteError, Signer, Use, Verifier};
use sekisho_audit::{Checkpoint, Hash};

/// From the documentation of golang.org/x/mod/sumdb/note, and a checkpoint that Go's checksum database signed.
const OTHERS: [(&str, &str); 2] = [
    (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} \
         PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
    ),
    (
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "go.sum database tree\n6476701\nmb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=\n\n\u{2014} sum.golang.org \
         Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWEPWL+o3GeoWwOoAw=\n",
    ),
];

/// The text of the example in tlog-cosignature, signed by `cryptography` 48 for Python with the keys 00..1f and 20..3f.
const TEXT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
const LOG: &str = "example.com/behind-the-sofa+1f59e8f5+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const WITNESS: &str = "witness.example.com/w1+969980cf+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
const LINES: &str = "\u{2014} example.com/behind-the-sofa \
    H1no9Vbha/V7K+0nOUyOYWY2eeqkJO0R/8eVdJBP1U6klJ63rYHH36AjiNbqMeYZ5wXtNMpYFqOQG4s/igFrnBBp3AU=\n\u{2014} \
    witness.example.com/w1 \
    lpmAzwAAAABkGFDL6ade/xdmW0GepsICyPher/bBsso0aCocxkD4MgnQ2J3N/61CxrucC0uO4wzUWe3K7XvjkEYtewKXIfP/U7l4Cw==\n";

/// A key with the bytes `first`, `first + 1`, ...
fn numbered(name: &str, of: Use, first: u8) -> Signer {
    let vkey = if of == Use::Note { LOG } else { WITNESS };
    let public = STANDARD.decode(vkey.splitn(3, '+').last().unwrap()).unwrap();
    let seed: Vec<u8> = (first..first + 32).collect();
    // RFC 8410 §7, with the public half, as `ring` wants it.
    let head = [0x30, 0x53, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let pkcs8 = [&head[..], &seed, &[0xa1, 0x23, 3, 0x21, 0], &public[1..]].concat();
    Signer::new(name, of, &pkcs8).unwrap()
}

#[test]
fn notes_that_others_have_signed_are_opened_by_their_keys_and_by_no_other() {
    for (key, note) in OTHERS {
        let verifier: Verifier = key.parse().unwrap();
        assert_eq!(verifier.to_string(), key);
        let (text, _) = verifier.open(note).unwrap();
        assert_eq!(text, &note[..note.rfind("\n\n").unwrap() + 1]);
        let forged = note.replacen('o', "0", 1);
        assert_eq!(verifier.open(&forged), Err(NoteError::BadSignature));
        let other: Verifier = OTHERS[usize::from(key == OTHERS[0].0)].0.parse().unwrap();
        assert_eq!(other.open(note), Err(NoteError::NotSigned));
    }
    let Checkpoint { size, .. } =
        Checkpoint::parse(OTHERS[1].1.split_once("\n\n").map(|(t, _)| format!("{t}\n")).unwrap().as_str())
            .unwrap();
    assert_eq!(size, 6_476_701);
}

#[test]
fn a_checkpoint_and_its_cosignature_are_byte_for_byte_what_another_program_makes_of_them() {
    let (log, witness) = (
        numbered("example.com/behind-the-sofa", Use::Note, 0),
        numbered("witness.example.com/w1", Use::Cosignature, 32),
    );
    let at = 1_679_315_147;
    assert_eq!(
        (log.verifier().to_string().as_str(), witness.verifier().to_string().as_str()),
        (LOG, WITNESS)
    );
    assert_eq!(format!("{}{}", log.line(TEXT, 0), witness.line(TEXT, at)), LINES);
    let note = format!("{TEXT}\n{LINES}");
    let opened = Checkpoint::open(&note, &log.verifier()).unwrap();
    assert_eq!((opened.size, opened.text().as_str()), (20_852_163, TEXT));
    assert_eq!(witness.verifier().open(&note), Ok((TEXT, Some(at))));
    // A cosignature says nothing of another text, and is not of another time.
    let line = LINES.split_once('\n').unwrap().1;
    assert_eq!(witness.verifier().open_line(TEXT, line), Ok(Some(at)));
    assert_eq!(witness.verifier().open_line("other\n", line), Err(NoteError::BadSignature));
    assert_eq!(log.verifier().open_line(TEXT, line), Err(NoteError::NotSigned));
}

#[test]
fn what_is_no_note_no_key_and_no_checkpoint_is_refused() {
    let (key, note) = OTHERS[0];
    let verifier: Verifier = key.parse().unwrap();
    let line = note.rsplit_once("\n\n").unwrap().1;
    for bad in [
        "",
        "\n",
        "text\n",
        "text\n\n",
        &note[..note.len() - 1],
        &note.replace("\n\n", "\n"),
        &note.replace("\u{2014} ", "- "),
        &note.replace('\n', "\r\n"),
        &format!("text\n\n{}", line.replace("x08g", "!!!!")),
        &format!("{note}\u{2014} x \n"),
        &format!("text\n\n{}", line.repeat(200)),
    ] {
        assert_eq!(verifier.open(bad), Err(NoteError::Malformed), "{bad:?}");
    }
    for bad in [
        "",
        "a",
        "a+b",
        &key.replace("c74f20a3", "c74f20a4"),
        &key.replace("Peter", "Pe ter"),
        &key.replace("+AR", "+AB"),
        &key.replace("10TW", "10T"),
    ] {
        assert!(bad.parse::<Verifier>().is_err(), "{bad}");
    }
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    for bad in [
        format!("o\n07\n{root}\n"),
        format!("o\n+7\n{root}\n"),
        format!("o\n-7\n{root}\n"),
        format!("\n7\n{root}\n"),
        format!("o\n7\n{root}"),
        format!("o\n7\n{}\n", &root[4..]),
        format!("o\n7\n{root}\n\n"),
        "o\n7\n".to_owned(),
    ] {
        assert_eq!(Checkpoint::parse(&bad), Err(NoteError::Malformed), "{bad:?}");
    }
    assert_eq!(Checkpoint::parse(&format!("o\n0\n{root}\nextension\n")).unwrap().size, 0);
}

proptest! {
    #[test]
    fn a_checkpoint_reads_back_and_a_touched_one_does_not(
        size in any::<u64>(), root in any::<[u8; 32]>(), at in any::<prop::sample::Index>(), bit in 0u8..7,
    ) {
        let key = super::key(Use::Note, super::NAME);
        let checkpoint = Checkpoint { origin: super::NAME.to_owned(), size, root: Hash(root) };
        let note = checkpoint.sign(&key);
        prop_assert_eq!(Checkpoint::open(&note, &key.verifier()), Ok(checkpoint));
        let mut bytes = note.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(touched) = String::from_utf8(bytes) {
            prop_assert!(Checkpoint::open(&touched, &key.verifier()).is_err());
        }
    }
}
