//! What all nodes remember, asked from one of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use mesh_config::settings::{Nonce, Secrets, Settings};
use mesh_control::story::{Events, Explanation, MOST_EVENTS, Opinion, Question, Span, Trace, Unreachable};
use mesh_core::Engine;
use mesh_core::engine::explain::Explained;
use ring::rand::SecureRandom as _;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Journal;
use super::journal::latest;
use crate::clock;
use crate::mesh::MeshHandle;

/// How long the engine may take for an answer: it takes microseconds.
const ENGINE: Duration = Duration::from_secs(1);
/// How long another node may take.
const NODE: Duration = Duration::from_secs(1);
/// Refusals an explanation shows.
const VETOES: usize = 5;

/// A question to the engine, answered between two facts.
#[derive(Debug)]
pub enum Asked {
    /// Why a router is where it is.
    Router {
        /// Its name, or an address of it.
        router: String,
        /// For the answer.
        answer: oneshot::Sender<Option<Box<Explained>>>,
    },
    /// How this node is configured.
    Settings {
        /// For tags of keys.
        nonce: Nonce,
        /// For the answer.
        answer: oneshot::Sender<(Arc<Settings>, Secrets)>,
    },
}

impl Asked {
    /// Answers; who asked may be gone.
    pub(crate) fn answer(self, engine: &Engine) {
        match self {
            Asked::Router { router, answer } => {
                drop(answer.send(engine.explain(clock::now(), &router).map(Box::new)));
            }
            Asked::Settings { nonce, answer } => drop(answer.send(engine.described(nonce))),
        }
    }
}

/// This node's memory and engine, and the way to the other nodes'.
#[derive(Clone)]
pub struct Archive {
    /// What this node remembers.
    pub journal: Arc<Journal>,
    /// The engine.
    pub engine: mpsc::Sender<Asked>,
    /// The mesh; `None` without one.
    pub mesh: Option<MeshHandle>,
}

/// An answer as JSON.
pub(crate) type Answering = Pin<Box<dyn Future<Output = anyhow::Result<Vec<u8>>> + Send>>;

impl Archive {
    /// Answers another node, from what this one knows.
    pub(crate) fn answer(&self, question: Question) -> Answering {
        let archive = self.clone();
        Box::pin(async move {
            Ok(match question {
                Question::Events { after, since_unix_us, limit } => {
                    serde_json::to_vec(&archive.journal.events(after, since_unix_us, limit))
                }
                Question::LatestTrace { router } => serde_json::to_vec(&one(archive.journal.latest(router.as_deref()))),
                Question::Trace { trace_id } => serde_json::to_vec(&archive.journal.trace(&trace_id)),
                Question::Settings => serde_json::to_vec(&archive.settings().await?),
                Question::Opinion { router } => {
                    let explained = archive.ask_engine(&router).await?;
                    serde_json::to_vec(&explained.and_then(|e| e.opinion))
                }
            }?)
        })
    }

    /// What happened, all over the mesh.
    pub async fn events(&self, since_unix_us: u64, limit: usize) -> Events {
        let limit = limit.min(MOST_EVENTS);
        let question = Question::Events { after: 0, since_unix_us, limit };
        let (answers, unreachable) = self.ask_all::<Events>(&question).await;
        let own = self.journal.events(0, since_unix_us, limit);
        let mut events: Vec<_> = [own].into_iter().chain(answers).flat_map(|a| a.events).collect();
        events.sort_by(|a, b| (a.at_unix_us, &a.node, a.seq).cmp(&(b.at_unix_us, &b.node, b.seq)));
        events.drain(..events.len().saturating_sub(limit));
        Events { events, unreachable }
    }

    /// The trace whose id begins so; without one the latest, of this router where one is named.
    pub async fn trace(&self, id: Option<String>, router: Option<String>) -> Trace {
        let trace_id = match id {
            Some(id) => id,
            None => {
                let question = Question::LatestTrace { router: router.clone() };
                let (answers, unreachable) = self.ask_all::<Trace>(&question).await;
                let own = one(self.journal.latest(router.as_deref()));
                let roots = [own].into_iter().chain(answers).flat_map(|a| a.spans);
                match roots.max_by_key(latest) {
                    Some(root) => root.trace_id,
                    None => return Trace { unreachable, ..Trace::default() },
                }
            }
        };
        let (answers, unreachable) = self.ask_all::<Trace>(&Question::Trace { trace_id: trace_id.clone() }).await;
        let found: Vec<Trace> = [self.journal.trace(&trace_id)].into_iter().chain(answers).collect();
        // Some digits may be those of several traces: the latest of them.
        let latest = found.iter().flat_map(|t| &t.spans).max_by_key(|s| s.begin_unix_us);
        let trace_id = latest.map_or(String::new(), |s| s.trace_id.clone());
        let mut spans: Vec<Span> = found.into_iter().flat_map(|t| t.spans).filter(|s| s.trace_id == trace_id).collect();
        spans.sort_by(|a, b| (a.begin_unix_us, b.end_unix_us).cmp(&(b.begin_unix_us, a.end_unix_us)));
        Trace { trace_id, spans, unreachable }
    }

    /// Why a router is where it is; `None` where nobody knows it.
    ///
    /// # Errors
    ///
    /// The engine does not answer.
    pub async fn explain(&self, router: &str) -> anyhow::Result<Option<Explanation>> {
        let Some(explained) = self.ask_engine(router).await? else { return Ok(None) };
        let Explained { key, router, opinion, if_died, if_owner_died, drift } = *explained;
        let (answers, mut unreachable) = self.ask_all::<Option<Opinion>>(&Question::Opinion { router: key }).await;
        let mut voters: Vec<Opinion> = opinion.into_iter().chain(answers.into_iter().flatten()).collect();
        voters.sort_by(|a, b| a.node.cmp(&b.node));
        let roster = self.mesh.as_ref().map(MeshHandle::roster);
        let votes = |name: &str| roster.iter().flat_map(|r| r.voters()).any(|m| m.name == name);
        unreachable.retain(|node| votes(&node.node));
        let events = self.events(0, MOST_EVENTS).await.events;
        let refusals = events.into_iter().filter(|e| e.state.as_deref() == Some("vetoed"));
        let mut vetoes: Vec<_> = refusals.filter(|e| e.router.as_deref() == Some(router.name.as_str())).collect();
        vetoes.drain(..vetoes.len().saturating_sub(VETOES));
        let node = self.journal.node().to_owned();
        let if_this_node_died = if_died;
        Ok(Some(Explanation { node, router, voters, if_this_node_died, if_owner_died, vetoes, unreachable, drift }))
    }

    /// Events of one other node, later than number `after`; for following them.
    pub(crate) async fn events_after(&self, cursors: &mut Cursors, since_unix_us: u64) -> Events {
        let own = self.journal.events(cursors.after(self.journal.node()), since_unix_us, MOST_EVENTS);
        let asked = self.members().into_iter().map(|(node, name)| {
            let question = Question::Events { after: cursors.after(&name), since_unix_us, limit: MOST_EVENTS };
            (node, name, question)
        });
        let (answers, unreachable) = self.ask_each::<Events>(asked.collect()).await;
        let mut events: Vec<_> = [own].into_iter().chain(answers).flat_map(|a| a.events).collect();
        events.sort_by(|a, b| (a.at_unix_us, &a.node, a.seq).cmp(&(b.at_unix_us, &b.node, b.seq)));
        events.iter().for_each(|event| cursors.note(&event.node, event.seq));
        Events { events, unreachable }
    }

    /// Whether this node knows a router of this name or address; what cannot be found out counts as known.
    pub async fn knows(&self, router: &str) -> bool {
        self.ask_engine(router).await.map_or(true, |explained| explained.is_some())
    }

    async fn ask_engine(&self, router: &str) -> anyhow::Result<Option<Box<Explained>>> {
        let (answer, answered) = oneshot::channel();
        self.engine_answers(Asked::Router { router: router.to_owned(), answer }, answered).await
    }

    /// How this node is configured, as another one reads it ([`mesh_core::drift::Description`]).
    async fn settings(&self) -> anyhow::Result<serde_json::Value> {
        let mut nonce = Nonce::default();
        ring::rand::SystemRandom::new().fill(&mut nonce).map_err(|_| anyhow!("the kernel gives no random bytes"))?;
        let (answer, answered) = oneshot::channel();
        let (settings, secrets) = self.engine_answers(Asked::Settings { nonce, answer }, answered).await?;
        Ok(serde_json::json!({ "settings": &*settings, "secrets": secrets }))
    }

    /// The same for a witness, which has no keys of its own to compare tags with.
    pub(crate) async fn settings_without_keys(&self) -> anyhow::Result<Vec<u8>> {
        let mut all = self.settings().await?;
        all.as_object_mut().context("it is an object")?.remove("secrets");
        Ok(serde_json::to_vec(&all)?)
    }

    async fn engine_answers<T>(&self, asked: Asked, answered: oneshot::Receiver<T>) -> anyhow::Result<T> {
        self.engine.try_send(asked).context("the engine has too many questions to answer, or is gone")?;
        timeout(ENGINE, answered).await.context("the engine does not answer")?.context("the engine is gone")
    }

    fn members(&self) -> Vec<(mesh_wire::mesh::NodeId, String)> {
        let Some(mesh) = &self.mesh else { return Vec::new() };
        let others = |name: &String| name != self.journal.node();
        mesh.roster().members.iter().map(|m| (m.id, m.name.clone())).filter(|(_, name)| others(name)).collect()
    }

    async fn ask_all<T: DeserializeOwned + Send + 'static>(&self, question: &Question) -> (Vec<T>, Vec<Unreachable>) {
        let asked = self.members().into_iter().map(|(node, name)| (node, name, question.clone()));
        self.ask_each(asked.collect()).await
    }

    /// Asks all at once: what they answer in time, and who does not.
    async fn ask_each<T: DeserializeOwned + Send + 'static>(
        &self,
        questions: Vec<(mesh_wire::mesh::NodeId, String, Question)>,
    ) -> (Vec<T>, Vec<Unreachable>) {
        let Some(mesh) = &self.mesh else { return (Vec::new(), Vec::new()) };
        let mut asked = JoinSet::new();
        for (node, name, question) in questions {
            let mesh = mesh.clone();
            asked.spawn(async move {
                let answer = timeout(NODE, mesh.ask(node, &question)).await;
                (
                    name,
                    answer.unwrap_or_else(|_| bail_late()).and_then(|bytes| Ok(serde_json::from_slice::<T>(&bytes)?)),
                )
            });
        }
        let (mut answers, mut unreachable) = (Vec::new(), Vec::new());
        for (node, answer) in asked.join_all().await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => unreachable.push(Unreachable { node, because: format!("{error:#}") }),
            }
        }
        unreachable.sort();
        (answers, unreachable)
    }
}

fn bail_late<T>() -> anyhow::Result<T> {
    bail!("no answer within {NODE:?}")
}

fn one(span: Option<Span>) -> Trace {
    let trace_id = span.as_ref().map_or(String::new(), |s| s.trace_id.clone());
    Trace { trace_id, spans: span.into_iter().collect(), unreachable: Vec::new() }
}

/// How far each node's events are read.
#[derive(Debug, Default)]
pub(crate) struct Cursors(std::collections::BTreeMap<String, u64>);

impl Cursors {
    fn after(&self, node: &str) -> u64 {
        self.0.get(node).copied().unwrap_or(0)
    }

    fn note(&mut self, node: &str, seq: u64) {
        self.0.insert(node.to_owned(), seq);
    }
}
