//! Builds the portal with npm and turns it into a table of brotli-compressed files.
//!
//! `SEKISHO_PORTAL` chooses: `auto` (default: build when a usable Node is there, else a page that says so), `build`
//! (fail without Node), `stub` (never build; for quick Rust-only work).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use ring::digest::{SHA256, digest};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// What of `portal/` the bundle depends on.
const INPUTS: &[&str] = &[
    "src",
    "public",
    "index.html",
    "session.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "tsconfig.json",
];

fn main() -> Fallible<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let portal = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../portal").canonicalize()?;
    println!("cargo::rerun-if-env-changed=SEKISHO_PORTAL");
    // A path that does not exist would make cargo run this script every time.
    for input in INPUTS.iter().map(|i| portal.join(i)).filter(|p| p.exists()) {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let mode = env::var("SEKISHO_PORTAL").unwrap_or_else(|_| "auto".to_owned());
    let dist = out.join("dist");
    let built = match mode.as_str() {
        "stub" => false,
        "build" => build(&portal, &dist).map(|()| true)?,
        _ => match node_is_usable() {
            true => build(&portal, &dist).map(|()| true)?,
            false => {
                println!("cargo::warning=no Node.js of version 20.19 or newer: the portal is left out");
                false
            }
        },
    };
    let mut files = Vec::new();
    if built {
        collect(&dist, &dist, &mut files)?;
    } else {
        files.push(("index.html".to_owned(), STUB.as_bytes().to_vec()));
    }
    files.sort();
    fs::write(out.join("table.rs"), table(&out, &files)?)?;
    Ok(())
}

const STUB: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sekisho</title>\
<p>This server was built without the portal (no Node.js at build time). The API works; see <code>sekisho --help</code>.</p></html>";

fn node_is_usable() -> bool {
    let Ok(output) = Command::new("node").arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.trim().trim_start_matches('v').split('.').map_while(|n| n.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    major >= 21 || (major == 20 && minor >= 19)
}

fn run(command: &mut Command) -> Fallible<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&text)).into())
}

/// `npm ci` when the lock file is not the one installed, then `vite build` into `dist`.
fn build(portal: &Path, dist: &Path) -> Fallible<()> {
    let lock = fs::read(portal.join("package-lock.json"))?;
    let want = hex(digest(&SHA256, &lock).as_ref());
    let stamp = portal.join("node_modules/.sekisho-lock");
    if fs::read_to_string(&stamp).unwrap_or_default() != want {
        run(Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(portal))?;
        fs::write(&stamp, &want)?;
    }
    let vite = portal.join("node_modules/vite/bin/vite.js");
    let outdir = dist.display().to_string();
    run(Command::new("node")
        .arg(vite)
        .args(["build", "--outDir", &outdir, "--emptyOutDir"])
        .current_dir(portal))
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            files.push((name, fs::read(&path)?));
        }
    }
    Ok(())
}

fn table(out: &Path, files: &[(String, Vec<u8>)]) -> Fallible<String> {
    let packed = out.join("packed");
    // Files of an earlier build would only be dead weight, but must not pile up.
    let _ = fs::remove_dir_all(&packed);
    fs::create_dir_all(&packed)?;
    let mut text = String::from("/// Every file, ordered by path.\npub static FILES: &[File] = &[\n");
    for (index, (name, bytes)) in files.iter().enumerate() {
        let raw = packed.join(format!("{index}.raw"));
        let small = packed.join(format!("{index}.br"));
        fs::write(&raw, bytes)?;
        let params = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
        let mut compressed = Vec::new();
        brotli::BrotliCompress(&mut bytes.as_slice(), &mut compressed, &params)?;
        let compressible = !name.ends_with(".woff2") && compressed.len() < bytes.len();
        if compressible {
            fs::write(&small, &compressed)?;
        }
        let etag = hex(&digest(&SHA256, bytes).as_ref()[..12]);
        let brotli =
            if compressible { format!("Some(include_bytes!({small:?}))") } else { "None".to_owned() };
        text.push_str(&format!(
            "    File {{ path: {name:?}, etag: \"\\\"{etag}\\\"\", raw: include_bytes!({raw:?}), brotli: {brotli} }},\n"
        ));
    }
    text.push_str("];\n");
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
