//! One message instead of hundreds: what ends together is told together.

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::Message;

use crate::action::Action;

/// Joins the releases of one step to each peer, and the vacancies. What is joined is sent where the
/// last of it would have been: a release never comes before the effects that have to precede it. Without
/// this a director that dies with hundreds of routers sets off hundreds of messages from each voter,
/// each of which costs a step, while claims wait.
pub(super) fn coalesce(actions: Vec<Action>) -> Vec<Action> {
    let kind = |action: &Action| match action {
        Action::SendMessage { to, message: Message::Release(_) } => Some((*to, 0)),
        Action::SendMessage { to, message: Message::Vacant(_) } => Some((*to, 1)),
        _ => None,
    };
    let kinds: Vec<Option<(NodeId, u8)>> = actions.iter().map(kind).collect();
    let mut joined: Vec<Option<Action>> = Vec::with_capacity(actions.len());
    let mut last = std::collections::BTreeMap::new();
    for (action, kind) in actions.into_iter().zip(kinds) {
        let before = kind.and_then(|kind| last.insert(kind, joined.len()));
        let before = before.and_then(|at: usize| joined[at].take());
        joined.push(Some(match before {
            Some(before) => append(before, action),
            None => action,
        }));
    }
    joined.into_iter().flatten().collect()
}

/// The later message with what the earlier one said before it.
fn append(before: Action, after: Action) -> Action {
    match (before, after) {
        (
            Action::SendMessage { message: Message::Release(mut all), .. },
            Action::SendMessage { to, message: Message::Release(more) },
        ) => {
            all.extend(more);
            Action::SendMessage { to, message: Message::Release(all) }
        }
        (
            Action::SendMessage { message: Message::Vacant(mut all), .. },
            Action::SendMessage { to, message: Message::Vacant(more) },
        ) => {
            all.extend(more);
            Action::SendMessage { to, message: Message::Vacant(all) }
        }
        (_, after) => unreachable!("{after:?} follows something of another kind"),
    }
}
