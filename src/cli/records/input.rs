//! What comes in on stdin, a piece for each record.

use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use tokio::sync::mpsc;

/// Pieces that were read and not yet sent.
const WAITING: usize = 1_000;
/// The longest piece: whoever forgets the delimiter should not fill the memory.
const LONGEST: usize = 64 << 20;

/// Begins to read stdin, up to `delimiter` each time. The thread ends with the input or with the process: nobody can wake
/// it while it reads from a terminal.
pub(in crate::cli) fn pieces_of_stdin(delimiter: Vec<u8>) -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut input = BufReader::new(io::stdin());
        while let Some(piece) = next_piece(&mut input, &delimiter, LONGEST).transpose() {
            let has_failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || has_failed {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// The bytes up to the next delimiter, which is left out, as is a carriage return in front of a line's end; `None` at
/// the end of the input.
fn next_piece(input: &mut impl BufRead, delimiter: &[u8], longest: usize) -> io::Result<Option<Vec<u8>>> {
    let last = delimiter.last().copied().unwrap_or(b'\n');
    let mut piece = Vec::new();
    loop {
        let room = (longest + delimiter.len()).saturating_sub(piece.len()) as u64;
        let read = input.by_ref().take(room).read_until(last, &mut piece)?;
        if piece.ends_with(delimiter) {
            piece.truncate(piece.len() - delimiter.len());
            if delimiter == b"\n" && piece.ends_with(b"\r") {
                piece.pop();
            }
            return Ok(Some(piece));
        }
        if read == 0 && room == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a record is longer than {longest} bytes")));
        }
        if read == 0 {
            return Ok((!piece.is_empty()).then_some(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(input: &str, delimiter: &str) -> Vec<String> {
        let mut input = input.as_bytes();
        let next = || next_piece(&mut input, delimiter.as_bytes(), 20).unwrap();
        std::iter::from_fn(next).map(|piece| String::from_utf8(piece).unwrap()).collect()
    }

    #[test]
    fn pieces_end_with_their_delimiter_or_with_the_input() {
        assert_eq!(pieces("a\r\n\nb", "\n"), ["a", "", "b"]);
        assert_eq!(pieces("a-b--c\n--", "--"), ["a-b", "c\n"]);
        assert!(pieces("", "\n").is_empty());
    }

    #[test]
    fn an_endless_piece_is_an_error() {
        let mut endless = io::repeat(b'x');
        assert!(next_piece(&mut BufReader::new(endless.by_ref()), b"\n", 1_000).is_err());
        assert_eq!(next_piece(&mut &[b'x'; 20][..], b"\n", 20).unwrap().map(|piece| piece.len()), Some(20));
    }
}
