//! What can be done with people and with teams.

use tokenhouse_core::id::{TeamId, UserId};

use super::query::Query;
use super::resource::{Resource, Selection};
use super::schema::{GROUP, GROUPS, PEOPLE, ResourceType, USER};
use super::value::{self, Object};
use super::{base, group, patch, person};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;
use crate::service::directory::{self, Seen, groups};

/// Some resources and how many there are altogether.
pub(super) type Found = (Vec<Resource>, i64);

/// The resources of one type.
pub(super) trait Endpoint: Send + Sync + 'static {
    /// Which ones.
    const RESOURCE: &'static ResourceType;

    fn create(
        app: &App,
        call: &Call,
        body: &Object,
        selection: &Selection,
    ) -> impl Future<Output = Result<Resource, Error>> + Send;

    fn find(
        app: &App,
        id: i64,
        selection: &Selection,
    ) -> impl Future<Output = Result<Resource, Error>> + Send;

    fn search(
        app: &App,
        query: &Query,
        selection: &Selection,
    ) -> impl Future<Output = Result<Found, Error>> + Send;

    fn replace(
        app: &App,
        call: &Call,
        target: (i64, &Seen),
        body: &Object,
        selection: &Selection,
    ) -> impl Future<Output = Result<Resource, Error>> + Send;

    fn patch(
        app: &App,
        call: &Call,
        target: (i64, &Seen),
        body: &Object,
        selection: &Selection,
    ) -> impl Future<Output = Result<Resource, Error>> + Send;

    fn delete(app: &App, call: &Call, target: (i64, &Seen))
    -> impl Future<Output = Result<(), Error>> + Send;
}

/// People.
pub(super) struct Users;

impl Endpoint for Users {
    const RESOURCE: &'static ResourceType = &PEOPLE;

    async fn create(app: &App, call: &Call, body: &Object, _: &Selection) -> Result<Resource, Error> {
        value::check_schema(body, USER)?;
        let wanted = person::wanted(patch::document(&PEOPLE, body)?, &Object::new())?;
        person::shown(&directory::create(app, call, &wanted).await?, &base(app))
    }

    async fn find(app: &App, id: i64, _: &Selection) -> Result<Resource, Error> {
        person::shown(&directory::person(app, UserId(id)).await?, &base(app))
    }

    async fn search(app: &App, query: &Query, _: &Selection) -> Result<Found, Error> {
        let (condition, sort) = (query.condition(&PEOPLE)?, query.sort(&PEOPLE)?);
        let page = directory::search(app, &condition, &sort, query.window()).await?;
        let base = base(app);
        let shown = page.items.iter().map(|person| person::shown(person, &base));
        Ok((shown.collect::<Result<_, _>>()?, page.total))
    }

    async fn replace(
        app: &App,
        call: &Call,
        (id, seen): (i64, &Seen),
        body: &Object,
        _: &Selection,
    ) -> Result<Resource, Error> {
        value::check_schema(body, USER)?;
        let document = patch::document(&PEOPLE, body)?;
        let says_roles = value::get(body, "roles").is_some_and(|roles| !roles.is_null());
        let change = |person: &_| person::change(person, document, says_roles);
        person::shown(&directory::change(app, call, UserId(id), seen, change).await?, &base(app))
    }

    async fn patch(
        app: &App,
        call: &Call,
        (id, seen): (i64, &Seen),
        body: &Object,
        _: &Selection,
    ) -> Result<Resource, Error> {
        let operations = patch::operations(body)?;
        let change = |person: &_| {
            let mut document = person::document(person)?;
            patch::apply(&PEOPLE, &mut document, &operations)?;
            person::change(person, document, true)
        };
        person::shown(&directory::change(app, call, UserId(id), seen, change).await?, &base(app))
    }

    async fn delete(app: &App, call: &Call, (id, seen): (i64, &Seen)) -> Result<(), Error> {
        directory::delete(app, call, UserId(id), seen).await
    }
}

/// Teams.
pub(super) struct Groups;

impl Endpoint for Groups {
    const RESOURCE: &'static ResourceType = &GROUPS;

    async fn create(app: &App, call: &Call, body: &Object, selection: &Selection) -> Result<Resource, Error> {
        value::check_schema(body, GROUP)?;
        let wanted = group::replaced(body)?;
        let with_members = selection.shows("members");
        let made = groups::create(app, call, &wanted, with_members).await?;
        Ok(group::shown(&made, &base(app)))
    }

    async fn find(app: &App, id: i64, selection: &Selection) -> Result<Resource, Error> {
        let found = groups::group(app, TeamId(id), selection.shows("members")).await?;
        Ok(group::shown(&found, &base(app)))
    }

    async fn search(app: &App, query: &Query, selection: &Selection) -> Result<Found, Error> {
        let (condition, sort) = (query.condition(&GROUPS)?, query.sort(&GROUPS)?);
        let with_members = selection.shows("members");
        let page = groups::search(app, &condition, &sort, query.window(), with_members).await?;
        let base = base(app);
        Ok((page.items.iter().map(|found| group::shown(found, &base)).collect(), page.total))
    }

    async fn replace(
        app: &App,
        call: &Call,
        (id, seen): (i64, &Seen),
        body: &Object,
        selection: &Selection,
    ) -> Result<Resource, Error> {
        value::check_schema(body, GROUP)?;
        let wanted = group::replaced(body)?;
        let with_members = selection.shows("members");
        let changed = groups::change(app, call, TeamId(id), seen, &wanted, with_members).await?;
        Ok(group::shown(&changed, &base(app)))
    }

    async fn patch(
        app: &App,
        call: &Call,
        (id, seen): (i64, &Seen),
        body: &Object,
        selection: &Selection,
    ) -> Result<Resource, Error> {
        let wanted = group::patched(&patch::operations(body)?)?;
        let with_members = selection.shows("members");
        let changed = groups::change(app, call, TeamId(id), seen, &wanted, with_members).await?;
        Ok(group::shown(&changed, &base(app)))
    }

    async fn delete(app: &App, call: &Call, (id, seen): (i64, &Seen)) -> Result<(), Error> {
        groups::delete(app, call, TeamId(id), seen).await
    }
}
