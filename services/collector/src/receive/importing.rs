//! Requests about imports: which import a request's events belong to, how far one is, and its end. All of it takes a
//! secret key.

use std::borrow::Cow;

use actix_web::web::Payload;
use rungs_proto::v1::ImportCompleted;
use rungs_proto::v1::control::Action;
use runtime::now_ms;

use super::Incoming;
use crate::adapters::Endpoint;
use crate::answer::Answer;
use crate::imports;
use crate::keys::{self, Caller};
use crate::refusal::Refusal;
use crate::warehouse_status::WarehouseStatusError;

impl Incoming<'_> {
    /// The id of the import that the request's events belong to; an empty one is an id, to be refused: a script whose
    /// variable is empty must not send the past as what happens now.
    pub(super) fn import_parameter(&self) -> Option<Cow<'_, str>> {
        let query = self.request.query_string();
        if query.is_empty() || self.endpoint != Endpoint::Events {
            return None;
        }
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == "import").map(|(_, id)| id)
    }

    pub(super) async fn import_complete(&self, payload: Payload) -> Result<Answer, Refusal> {
        let mut permit = self.permit()?;
        let body = self.body(payload, &mut permit).await?;
        let (site, import_id) = self.import()?;
        let accepted_rows = imports::accepted_rows(&body)?;
        self.check_known(&site, import_id).await?;
        let generation = self.state.generations.next(now_ms());
        let completed = ImportCompleted { site, import_id: import_id.to_owned(), accepted_rows };
        imports::tell(self.state.direct.as_ref(), generation, Action::ImportCompleted(completed)).await?;
        tracing::info!(import_id, accepted_rows, generation, "import completed");
        Ok(Answer::Json(format!("{{\"generation\":{generation}}}")))
    }

    pub(super) async fn import_status(&self) -> Result<Answer, Refusal> {
        let (site, import_id) = self.import()?;
        let warehouse = self.state.warehouse.as_ref().ok_or(Refusal::NoWarehouse)?;
        let progress = warehouse.progress(&site, import_id).await;
        let progress = progress.map_err(|error| warehouse_failed(&error, import_id))?;
        let progress = progress.ok_or(Refusal::UnknownImport)?;
        let state = if progress.is_ready { "ready" } else { "building" };
        let json = serde_json::json!({
            "stored_rows": progress.stored_rows, "not_stored_rows": progress.not_stored_rows,
            "state": state, "progress": progress.progress,
        });
        Ok(Answer::Json(json.to_string()))
    }

    /// Refuses what nobody has sent a row of: most likely a mistyped id, and all funnels of the site would be built anew for
    /// it. Rows that another collector took, or this one before it was started anew, are known when they are stored; where
    /// no warehouse is connected, every id is taken.
    async fn check_known(&self, site: &str, import_id: &str) -> Result<(), Refusal> {
        let Some(warehouse) = &self.state.warehouse else { return Ok(()) };
        if self.state.seen_imports.have(site, import_id) {
            return Ok(());
        }
        let stored = warehouse.progress(site, import_id).await;
        stored.map_err(|error| warehouse_failed(&error, import_id))?.map(drop).ok_or(Refusal::UnknownImport)
    }

    /// Whether the caller may send events of an import.
    pub(super) fn check_import(&self, caller: Caller<'_>, id: &str) -> Result<(), Refusal> {
        self.check_secret(caller)?;
        imports::check_id(id)
    }

    /// Whether the caller has a secret key, of the site that the request says it is for.
    pub(super) fn check_secret(&self, caller: Caller<'_>) -> Result<(), Refusal> {
        require_secret(caller)?;
        self.check_site(caller)
    }

    /// The site whose secret key the request has, which must be the one that it says it is for, if it does.
    pub(super) fn site_of_secret_key(&self) -> Result<String, Refusal> {
        let keys = self.state.keys.load();
        let caller = self.caller(keys.as_deref().ok_or(Refusal::NoPlan)?, None)?;
        self.check_secret(caller)?;
        Ok(caller.site.id.clone())
    }

    /// The site of the secret key and the id in the path.
    fn import(&self) -> Result<(String, &str), Refusal> {
        let keys = self.state.keys.load();
        let caller = self.caller(keys.as_deref().ok_or(Refusal::NoPlan)?, None)?;
        let id = self.in_path.unwrap_or_default();
        self.check_import(caller, id)?;
        Ok((caller.site.id.clone(), id))
    }

    /// The site that an import says it is for, if it does, must be the key's: rows in another site's funnels are hard to
    /// get out again, and whoever is erased by mistake does not come back.
    fn check_site(&self, caller: Caller<'_>) -> Result<(), Refusal> {
        match keys::in_query(self.request.query_string(), "site") {
            Some(asked) if asked != caller.site.id => {
                Err(Refusal::WrongSite { key: caller.site.id.clone(), asked: asked.into_owned() })
            }
            _ => Ok(()),
        }
    }
}

fn warehouse_failed(error: &WarehouseStatusError, import_id: &str) -> Refusal {
    tracing::warn!(%error, import_id, "import status");
    Refusal::WarehouseFailed
}

fn require_secret(caller: Caller<'_>) -> Result<(), Refusal> {
    if caller.is_secret { Ok(()) } else { Err(Refusal::SecretKeyRequired) }
}
