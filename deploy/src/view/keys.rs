//! What a key asks for.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::Mode;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// End the edge.
    End,
    /// Show what the keys are for.
    Help,
    /// Choose the backend before.
    Previous,
    /// Choose the backend after.
    Next,
    /// Make the chosen backend fail.
    Fail,
    /// Make it slow, then slower, then not slow any more.
    Slow,
    /// Let nothing be wrong with it.
    Heal,
    /// Ask whether everything is to be purged.
    AskPurge,
    /// Ask what is to be purged.
    NamePurge,
    /// Write a character.
    Type(char),
    /// Take the last character away.
    Erase,
    /// Do what was asked about.
    Confirm,
    /// Do it not.
    Cancel,
    /// Read the policy again.
    Reload,
    /// Empty the lists.
    Clear,
    /// Hold the list of requests, or let it go on.
    Pause,
}

/// Each key with what it is for, as the help has it.
pub(super) const HELP: [(&str, &str); 11] = [
    ("q, Ctrl-C", "end, once the requests in flight are answered"),
    ("up, down, Tab", "choose a backend"),
    ("f", "make it fail: there is no connection to it"),
    ("s", "make it slow: by 2 s, 5 s, 10 s, not any more"),
    ("h", "heal it"),
    ("p", "purge everything, after a question"),
    ("P", "purge by a prefix (/static of this address, http://...) or a tag"),
    ("r", "read the policy again"),
    ("c", "clear the requests and the log"),
    ("Space", "hold the list of requests, or let it go on"),
    ("?", "this help"),
];

const WATCHING: [(KeyCode, Action); 16] = [
    (KeyCode::Char('q'), Action::End),
    (KeyCode::Char('?'), Action::Help),
    (KeyCode::Up, Action::Previous),
    (KeyCode::Left, Action::Previous),
    (KeyCode::BackTab, Action::Previous),
    (KeyCode::Down, Action::Next),
    (KeyCode::Right, Action::Next),
    (KeyCode::Tab, Action::Next),
    (KeyCode::Char('f'), Action::Fail),
    (KeyCode::Char('s'), Action::Slow),
    (KeyCode::Char('h'), Action::Heal),
    (KeyCode::Char('p'), Action::AskPurge),
    (KeyCode::Char('P'), Action::NamePurge),
    (KeyCode::Char('r'), Action::Reload),
    (KeyCode::Char('c'), Action::Clear),
    (KeyCode::Char(' '), Action::Pause),
];

const NAMING: [(KeyCode, Action); 3] =
    [(KeyCode::Enter, Action::Confirm), (KeyCode::Esc, Action::Cancel), (KeyCode::Backspace, Action::Erase)];

/// Decides what a key asks for, where it asks for anything.
pub(super) fn action(mode: &Mode, key: KeyEvent) -> Option<Action> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    if is_control {
        return (key.code == KeyCode::Char('c')).then_some(Action::End);
    }
    match mode {
        Mode::Watching => watching(key.code),
        Mode::Help => Some(Action::Cancel),
        Mode::ConfirmingPurge if matches!(key.code, KeyCode::Char('y' | 'Y')) => Some(Action::Confirm),
        Mode::ConfirmingPurge => Some(Action::Cancel),
        Mode::NamingPurge(_) => naming(key.code),
    }
}

fn watching(code: KeyCode) -> Option<Action> {
    WATCHING.iter().find(|(key, _)| *key == code).map(|(_, action)| *action)
}

fn naming(code: KeyCode) -> Option<Action> {
    if let KeyCode::Char(character) = code {
        return Some(Action::Type(character));
    }
    NAMING.iter().find(|(key, _)| *key == code).map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(mode: &Mode, code: KeyCode) -> Option<Action> {
        action(mode, KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn each_key_has_its_meaning_while_nothing_is_asked() {
        let letter = KeyCode::Char;
        let rows = [
            (letter('q'), Some(Action::End)),
            (letter('?'), Some(Action::Help)),
            (KeyCode::Up, Some(Action::Previous)),
            (KeyCode::BackTab, Some(Action::Previous)),
            (KeyCode::Down, Some(Action::Next)),
            (KeyCode::Tab, Some(Action::Next)),
            (letter('f'), Some(Action::Fail)),
            (letter('s'), Some(Action::Slow)),
            (letter('h'), Some(Action::Heal)),
            (letter('p'), Some(Action::AskPurge)),
            (letter('P'), Some(Action::NamePurge)),
            (letter('r'), Some(Action::Reload)),
            (letter('c'), Some(Action::Clear)),
            (letter(' '), Some(Action::Pause)),
            (letter('y'), None),
            (KeyCode::Enter, None),
            (KeyCode::F(1), None),
        ];
        for (code, expected) in rows {
            assert_eq!(press(&Mode::Watching, code), expected, "{code:?}");
        }
    }

    #[test]
    fn only_a_yes_purges_everything_and_typing_sets_nothing_else_off() {
        let naming = Mode::NamingPurge(String::new());
        let rows = [
            (&Mode::ConfirmingPurge, KeyCode::Char('y'), Some(Action::Confirm)),
            (&Mode::ConfirmingPurge, KeyCode::Char('n'), Some(Action::Cancel)),
            (&Mode::ConfirmingPurge, KeyCode::Enter, Some(Action::Cancel)),
            (&Mode::Help, KeyCode::Char('f'), Some(Action::Cancel)),
            (&naming, KeyCode::Char('q'), Some(Action::Type('q'))),
            (&naming, KeyCode::Backspace, Some(Action::Erase)),
            (&naming, KeyCode::Enter, Some(Action::Confirm)),
            (&naming, KeyCode::Esc, Some(Action::Cancel)),
            (&naming, KeyCode::Tab, None),
        ];
        for (mode, code, expected) in rows {
            assert_eq!(press(mode, code), expected, "{mode:?} {code:?}");
        }
    }

    #[test]
    fn control_and_c_ends_it_whatever_is_asked() {
        let naming = Mode::NamingPurge("x".to_owned());
        for mode in [&Mode::Watching, &Mode::Help, &Mode::ConfirmingPurge, &naming] {
            let key = |code| KeyEvent::new(KeyCode::Char(code), KeyModifiers::CONTROL);
            assert_eq!(action(mode, key('c')), Some(Action::End), "{mode:?}");
            assert_eq!(action(mode, key('f')), None, "{mode:?}");
        }
    }
}
