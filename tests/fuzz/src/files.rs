//! Arbitrary bytes as files of a data directory.
//!
//! An input is a list of pieces: a number that names one of the files a target knows, a length of two bytes, and that
//! many bytes of content, or what is left. Of two pieces for one file the later counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use klamm::protocol::record_batch::crc_of;

/// The bytes of a piece in front of its content.
const PIECE_HEADER: usize = 3;

/// The files' paths, relative to the data directory, and their contents.
pub type Files = BTreeMap<&'static str, Vec<u8>>;

/// Reads an input as files with these names.
pub fn unpack(names: &[&'static str], mut input: &[u8]) -> Files {
    let mut files = Files::new();
    while let Some((&[name, high, low], rest)) = input.split_first_chunk::<PIECE_HEADER>() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (content, rest) = rest.split_at(length);
        files.insert(names[usize::from(name) % names.len()], content.to_vec());
        input = rest;
    }
    files
}

/// The input that [`unpack`] reads as these files. Files that have no number or are too long are left out.
pub fn pack(names: &[&'static str], files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut input = Vec::new();
    for (name, content) in files {
        let number = names.iter().position(|known| known == name).and_then(|number| u8::try_from(number).ok());
        if let (Some(number), Ok(length)) = (number, u16::try_from(content.len())) {
            input.push(number);
            input.extend_from_slice(&length.to_be_bytes());
            input.extend_from_slice(content);
        }
    }
    input
}

/// Writes the files, and the directories they are in.
pub fn write(dir: &Path, files: &Files) {
    for (name, content) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("directories can be made");
        fs::write(path, content).expect("files can be written");
    }
}

/// Reads all files below a directory.
pub fn read(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("directories can be read") {
        let entry = entry.expect("directories can be read");
        let name = entry.file_name().into_string().expect("names are text");
        if entry.file_type().expect("files have types").is_dir() {
            files.extend(read(&entry.path()).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)));
        } else {
            files.insert(name, fs::read(entry.path()).expect("files can be read"));
        }
    }
    files
}

/// Makes the checksums of batches and snapshots of producers right, so that mutations get past them. The metadata log's
/// stay as they are: behind an intact one, openraft trusts what it wrote.
pub fn mend(files: &mut Files) {
    for (name, content) in files {
        if name.contains(".log") {
            mend_batches(content);
        } else if name.ends_with(".snapshot") {
            mend_at(content, 2, 6);
        }
    }
}

/// Makes the checksums of record batches right, one after the other until something is none.
pub fn mend_batches(mut bytes: &mut [u8]) {
    const CRC_AT: usize = 17;
    const CRC_END: usize = 21;
    const LENGTH_AT: usize = 8;
    const LENGTH_END: usize = 12;
    while let Some(size) = length_at(bytes, LENGTH_AT).map(|length| length + LENGTH_END) {
        let Some((batch, rest)) = bytes.split_at_mut_checked(size) else { return };
        mend_at(batch, CRC_AT, CRC_END);
        bytes = rest;
    }
}

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let length = bytes.get(at..)?.first_chunk()?;
    usize::try_from(i32::from_be_bytes(*length)).ok()
}

/// Writes the CRC-32C of everything from `end` on to the four bytes at `at`.
fn mend_at(bytes: &mut [u8], at: usize, end: usize) {
    if let Some(crc) = bytes.get(end..).map(|covered| crc_of(covered, &[])) {
        bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
    }
}
