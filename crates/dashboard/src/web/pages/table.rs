//! Tables whose rows become cards on a telephone.

use maud::{Markup, html};

/// A table: the names of its columns, and what is in them, row by row. A card says the names, too.
pub(super) fn table<R>(names: &[&str], rows: impl IntoIterator<Item = R>) -> Markup
where
    R: IntoIterator<Item = Markup>,
{
    made("wide stack", names, rows)
}

/// The same for rows that read like a sentence: as a card each is one.
pub(super) fn sentences<R>(names: &[&str], rows: impl IntoIterator<Item = R>) -> Markup
where
    R: IntoIterator<Item = Markup>,
{
    made("wide stack flow", names, rows)
}

/// What is not laid out as a table is none any more for some screen readers, unless every part says what it is.
fn made<R>(class: &str, names: &[&str], rows: impl IntoIterator<Item = R>) -> Markup
where
    R: IntoIterator<Item = Markup>,
{
    html! {
        div class=(class) { table role="table" {
            thead role="rowgroup" { tr role="row" {
                @for name in names { th role="columnheader" scope="col" { (name) } }
            } }
            tbody role="rowgroup" { @for row in rows {
                tr role="row" {
                    @for (number, (name, cell)) in names.iter().zip(row).enumerate() {
                        @match number {
                            0 => th role="rowheader" scope="row" { (cell) },
                            _ => td role="cell" data-name=(name) { (cell) },
                        }
                    }
                }
            } }
        } }
    }
}
