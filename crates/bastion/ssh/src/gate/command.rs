//! What a command is that a client has the machine run, as far as it copies files: `sftp-server`, `scp -t` and `scp -f`, or
//! `rsync --server`, as the clients of these write them.
//!
//! Whoever may run commands can copy by others, too (`cat`). So this keeps nobody from anything by itself; it finds what says
//! what it copies.

/// A way that files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the machine.
    Up,
    /// From it.
    Down,
}

/// What a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// One that copies nothing, as far as that is known.
    Other,
    /// The machine's SFTP server, by its path.
    Sftp,
    /// The machine's end of `scp`.
    Scp(Way),
    /// The machine's end of rsync.
    Rsync(Rsync),
    /// It copies, and cannot be followed.
    Unclear,
}

/// The machine's end of rsync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rsync {
    pub(super) way: Way,
    /// Whether what was sent is removed from the machine.
    pub(super) removes: bool,
    /// The files and folders, as they are named.
    pub(super) paths: String,
    /// The words up to where options may be added, and those after.
    words: (String, String),
}

impl Rsync {
    /// The command with more options.
    pub(super) fn with(&self, options: &[String]) -> String {
        let (before, after) = &self.words;
        format!("{before} {} {after}", options.join(" "))
    }
}

impl Program {
    /// What a command is.
    pub(super) fn of(command: &[u8]) -> Program {
        let text = String::from_utf8_lossy(command);
        let mut words = text.split_ascii_whitespace();
        let name = words.next().and_then(|word| word.rsplit('/').next());
        match name {
            Some("sftp-server") => Program::Sftp,
            Some("scp") => scp(words),
            Some("rsync") if words.any(|word| word == "--server") => {
                rsync(command).map_or(Program::Unclear, Program::Rsync)
            }
            _ => Program::Other,
        }
    }
}

/// What scp is to do is said in its options. What follows them is the shell's business: whatever it does must speak the
/// protocol, or the session ends.
fn scp<'w>(words: impl Iterator<Item = &'w str>) -> Program {
    let options = words.take_while(|word| word.starts_with('-') && *word != "--");
    let letters: String = options.map(|word| &word[1..]).collect();
    match (letters.contains('t'), letters.contains('f')) {
        (true, false) => Program::Scp(Way::Up),
        (false, true) => Program::Scp(Way::Down),
        (true, true) => Program::Unclear,
        (false, false) => Program::Other,
    }
}

/// Reads a command of rsync's, of which every word must be plain: the shell must make of it what is read here, and no option
/// may undo those that are added.
fn rsync(command: &[u8]) -> Option<Rsync> {
    const UNDOES: [&str; 7] = [
        "--log-",
        "--no-log-",
        "--max-size",
        "--daemon",
        "--config",
        // The options come over the connection then.
        "--secluded-args",
        "--protect-args",
    ];
    let words = words(std::str::from_utf8(command).ok()?)?;
    let [program, server, rest @ ..] = words.as_slice() else { return None };
    if server.raw != "--server" || program.raw.contains('\\') {
        return None;
    }
    for word in rest {
        let is_secluded = word.text.starts_with('-')
            && !word.text.starts_with("--")
            && word.text.split('e').next().is_some_and(|letters| letters.contains('s'));
        let is_expanded = word.text.starts_with('-') && word.raw.contains(['*', '?', '[', '~']);
        if is_secluded || is_expanded || UNDOES.iter().any(|option| word.text.starts_with(option)) {
            return None;
        }
    }
    // A dot stands for the program's name between options and paths.
    let paths = rest.iter().position(|word| word.text == ".").map_or(0, |dot| dot + 1);
    let has = |option: &str| rest.iter().any(|word| word.text.starts_with(option));
    let raw = |words: &[Word]| words.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>().join(" ");
    Some(Rsync {
        way: if has("--sender") { Way::Down } else { Way::Up },
        removes: has("--sender") && (has("--remove-so") || has("--remove-se")),
        paths: raw(&rest[paths..]),
        words: (raw(&words[..2]), raw(rest)),
    })
}

/// A word as it is written, and as the shell reads it.
struct Word {
    raw: String,
    text: String,
}

/// The words of a command in which nothing means anything to a shell but a backslash, and what stands for names.
fn words(command: &str) -> Option<Vec<Word>> {
    let mut words: Vec<Word> = Vec::new();
    let mut is_new = true;
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        let plain = match c {
            ' ' => {
                is_new = true;
                continue;
            }
            '\\' => characters.next()?,
            c => c,
        };
        let means_something = plain.is_control() || (c != '\\' && ";|&<>()$`\"'{}#!^".contains(plain));
        if means_something {
            return None;
        }
        if is_new {
            words.push(Word { raw: String::new(), text: String::new() });
            is_new = false;
        }
        let word = words.last_mut()?;
        if c == '\\' {
            word.raw.push(c);
        }
        word.raw.push(plain);
        word.text.push(plain);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> Program {
        Program::of(command.as_bytes())
    }

    #[test]
    fn what_copies_files_is_found_and_which_way_they_go() {
        assert_eq!(of("scp -t /srv/x"), Program::Scp(Way::Up));
        assert_eq!(of("scp -r -p -t -- /srv/x"), Program::Scp(Way::Up));
        assert_eq!(of("/usr/bin/scp -prf *.txt"), Program::Scp(Way::Down));
        assert_eq!(of("scp -tf x"), Program::Unclear);
        // A path is none of the options, and scp on the machine may be run as everywhere.
        assert_eq!(of("scp -r -- -t host:"), Program::Other);
        assert_eq!(of("scp a b:c"), Program::Other);
        assert_eq!(of("/usr/lib/openssh/sftp-server -l INFO"), Program::Sftp);
        for other in ["", " ", "ls -t", "rsync -a x y", "echo scp -t"] {
            assert_eq!(of(other), Program::Other, "{other:?}");
        }
    }

    #[test]
    fn a_plain_command_of_rsyncs_gets_options_more_and_stays_what_it_is() {
        let Program::Rsync(up) = of("rsync --server -vlogDtpre.iLsfxCIvu --delete . back\\ up/関/*.txt")
        else {
            panic!("not found");
        };
        assert_eq!((up.way, up.removes, up.paths.as_str()), (Way::Up, false, "back\\ up/関/*.txt"));
        assert_eq!(
            up.with(&["--log-file=x".to_owned()]),
            "rsync --server --log-file=x -vlogDtpre.iLsfxCIvu --delete . back\\ up/関/*.txt"
        );
        let Program::Rsync(down) = of("rsync --server --sender -re.iLsfxCIvu --remove-source-files . x")
        else {
            panic!("not found");
        };
        assert_eq!((down.way, down.removes), (Way::Down, true));
    }

    #[test]
    fn a_command_of_rsyncs_that_a_shell_could_read_otherwise_is_not_followed() {
        for hostile in [
            "rsync --server . x; cat /etc/shadow",
            "rsync --server . x\ncat /etc/shadow",
            "rsync --server . $(id)",
            "rsync --server . `id`",
            "rsync --server . 'x'",
            "rsync --server . x # y",
            "rsync --server --log-file=/tmp/x . x",
            "rsync --server --l\\og-file=/tmp/x . x",
            "rsync --server . x --log-file=/tmp/x",
            "rsync --server --log{-file=/tmp/x,} . x",
            "rsync --server --log-[f]ile=/tmp/x . x",
            "rsync --server --max-size=9T . x",
            "rsync --server -se.LsfxCIvu",
            "rsync --server -s",
            "rsync --server --secluded-args",
            "rsync --server --daemon .",
            "rsync -v --server . x",
            "rsync --server . x\\",
            "rs\\ync/rsync --server . x",
        ] {
            assert_eq!(of(hostile), Program::Unclear, "{hostile}");
        }
    }
}
