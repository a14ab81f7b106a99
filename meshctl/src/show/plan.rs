//! What would move.

use comfy_table::Cell;
use mesh_control::Plan;

use super::{Look, finish, plural, table};

/// Every move in its order, and what stays where it should not be.
pub(crate) fn plan(plan: &Plan, look: &Look) -> String {
    let mut text = String::new();
    if plan.moves.is_empty() {
        text += "Nothing would move.\n";
    } else {
        let mut moves = table(["ROUTER", "FROM", "TO", "BECAUSE"], 8, look);
        for step in &plan.moves {
            let cells = [step.routers.join(" "), step.from.clone(), step.to.clone(), step.because.clone()];
            moves.add_row(cells.map(Cell::new));
        }
        text += &finish(&moves);
        let by = plan.ordered_by.as_deref().unwrap_or("nobody");
        let moves = plural(plan.moves.len(), "move");
        text += &format!("\n{moves}, {} a minute at most, ordered by {by}\n", plan.moves_per_minute);
    }
    for stays in &plan.stuck {
        text += &format!("{} stays on {}: {}\n", stays.routers.join(" "), stays.on, stays.because);
    }
    text
}
