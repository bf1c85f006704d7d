//! Characters that strangers write.

/// Whether a character turns or hides what stands beside it, or is itself not seen: whoever shows a stranger's text to people
/// shows it otherwise. Control characters are not among these.
pub fn turns_or_hides(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
