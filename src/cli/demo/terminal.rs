//! A terminal that is drawn anew in place, and whose keys are heard without Enter.

use std::io::{self, IsTerminal, Read};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use super::super::print::print;

/// Keys that were pressed and not yet heard.
const KEYS: usize = 16;

/// A terminal; as it was when it is dropped.
pub(super) struct Terminal {
    before: Option<Termios>,
    drawn: usize,
}

impl Terminal {
    /// Takes the terminal, if stdout is one: keys come at once and are not shown. Ctrl-C stays a signal.
    pub(super) fn take() -> Option<Self> {
        if !io::stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut modes = before.clone();
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            // A terminal that stays as it is needs Enter behind a key, and nothing else.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
        }
        Some(Self { before, drawn: 0 })
    }

    /// Draws the lines over those of the last time.
    pub(super) fn draw(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format_up(self.drawn));
        }
        for line in lines {
            text.push_str(line);
            // What was longer before is erased behind it.
            text.push_str("\x1b[K\n");
        }
        self.drawn = lines.len();
        print(&text);
    }

    /// Begins to hear keys. The thread ends with the input or with the process: nobody can wake it while it reads.
    pub(super) fn keys() -> io::Result<mpsc::Receiver<u8>> {
        let (sender, receiver) = mpsc::channel(KEYS);
        thread::Builder::new().name("keys".to_owned()).spawn(move || {
            for key in io::stdin().lock().bytes() {
                let Ok(key) = key else { return };
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        })?;
        Ok(receiver)
    }
}

fn format_up(lines: usize) -> String {
    format!("\x1b[{lines}A")
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // If it fails there is nobody left to tell.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
