//! Questions that a signed-in person is asked once. The answer has to bring the key of the question, which
//! binds it to the session it was asked in and to what was asked, and is good for one answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::SessionId;
use tokenhouse_core::random::{NoRandomness, Random};

/// How long a question may be answered, in seconds.
const LIFE: i64 = 600;

/// The most questions that are open in one session; the oldest gives way.
const MOST: usize = 8;

/// Questions that wait for their answer, by their keys.
#[derive(Debug, Default)]
pub struct Questions(Mutex<HashMap<String, Question>>);

#[derive(Debug)]
struct Question {
    session: SessionId,
    /// What is asked, in full.
    text: String,
    until: Timestamp,
}

impl Questions {
    /// Asks, and gives the key for the answer.
    pub fn ask(
        &self,
        random: &Random,
        session: SessionId,
        text: &str,
        now: Timestamp,
    ) -> Result<String, NoRandomness> {
        let key = random.text::<16>()?;
        let mut open = self.lock();
        open.retain(|_, question| question.until > now);
        let own = open.iter().filter(|(_, question)| question.session == session);
        let own: Vec<_> = own.map(|(key, question)| (question.until, key.clone())).collect();
        if own.len() >= MOST
            && let Some((_, oldest)) = own.into_iter().min()
        {
            open.remove(&oldest);
        }
        let until = now.plus_seconds(LIFE);
        open.insert(key.clone(), Question { session, text: text.to_owned(), until });
        Ok(key)
    }

    /// Whether this very question was asked in this session and still waits. It doesn't any more then.
    pub fn answer(&self, key: &str, session: SessionId, text: &str, now: Timestamp) -> bool {
        let mut open = self.lock();
        let fits = |question: &Question| {
            question.session == session && question.text == text && question.until > now
        };
        open.get(key).is_some_and(fits) && open.remove(key).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Question>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
    const MINE: SessionId = SessionId(1);

    #[test]
    fn a_question_is_answered_once_in_its_session_and_as_it_was_asked() {
        let (questions, random) = (Questions::default(), Random::seeded(1));
        let key = questions.ask(&random, MINE, "this", NOW).unwrap();
        assert!(!questions.answer("guessed", MINE, "this", NOW));
        assert!(!questions.answer(&key, SessionId(2), "this", NOW));
        assert!(!questions.answer(&key, MINE, "that", NOW));
        assert!(!questions.answer(&key, MINE, "this", NOW.plus_seconds(LIFE)));
        assert!(questions.answer(&key, MINE, "this", NOW.plus_seconds(LIFE - 1)));
        assert!(!questions.answer(&key, MINE, "this", NOW));
    }

    #[test]
    fn questions_do_not_pile_up() {
        let (questions, random) = (Questions::default(), Random::seeded(1));
        let ask = |session, second| questions.ask(&random, session, "", NOW.plus_seconds(second)).unwrap();
        let first = ask(MINE, 0);
        let later: Vec<_> = (1..=8).map(|second| ask(MINE, second)).collect();
        assert!(!questions.answer(&first, MINE, "", NOW));
        assert!(questions.answer(&later[0], MINE, "", NOW));
        ask(SessionId(2), LIFE + 100);
        assert_eq!(questions.lock().len(), 1);
    }
}
