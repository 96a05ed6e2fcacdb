//! Removes sets of links that nothing counts by any more. Called by whoever makes sets.

use std::collections::BTreeSet;

use crate::client::{INSERT_TIMEOUT, Warehouse, fetch_all, within};
use crate::error::WarehouseError;

impl Warehouse {
    /// Removes a site's sets but the newest one and those that generations count by which are not replaced yet; how many.
    pub async fn remove_replaced_links(&self, site: &str) -> Result<usize, WarehouseError> {
        let sets = self.numbers("SELECT DISTINCT number FROM link_sets WHERE site = ?", site).await?;
        let Some(newest) = sets.last().copied() else { return Ok(0) };
        let generations =
            self.numbers("SELECT DISTINCT generation AS number FROM progress WHERE site = ?", site).await?;
        let mut needed: BTreeSet<u64> = generations
            .iter()
            .filter_map(|generation| sets.range(..=*generation).next_back().copied())
            .collect();
        needed.insert(newest);
        // Links without a set are of an attempt that did not come to its end.
        let mut found = self.numbers("SELECT DISTINCT number FROM links WHERE site = ?", site).await?;
        found.extend(sets);
        let replaced: Vec<u64> =
            found.into_iter().filter(|number| *number < newest && !needed.contains(number)).collect();
        for number in &replaced {
            self.remove_links_where("site = ? AND number = ?", site, Some(*number)).await?;
        }
        Ok(replaced.len())
    }

    /// Removes all sets of sites that do not join ids any more; how many sites these are.
    pub async fn remove_links_but_of(&self, sites: &[&str]) -> Result<usize, WarehouseError> {
        let found: Vec<String> =
            fetch_all("link_sets", self.query_all("SELECT DISTINCT site FROM link_sets")).await?;
        let ended: Vec<&String> = found.iter().filter(|site| !sites.contains(&site.as_str())).collect();
        for site in &ended {
            self.remove_links_where("site = ?", site, None).await?;
        }
        Ok(ended.len())
    }

    async fn numbers(&self, sql: &str, site: &str) -> Result<BTreeSet<u64>, WarehouseError> {
        let found: Vec<u64> = fetch_all("link_sets", self.query_all(sql).bind(site)).await?;
        Ok(found.into_iter().collect())
    }

    /// The set goes first: nobody begins to read its links then.
    async fn remove_links_where(
        &self,
        condition: &str,
        site: &str,
        number: Option<u64>,
    ) -> Result<(), WarehouseError> {
        for table in ["link_sets", "links"] {
            let query = self.query(&format!("DELETE FROM {table} WHERE {condition}")).bind(site);
            let query = number.into_iter().fold(query, |query, number| query.bind(number));
            within("remove", INSERT_TIMEOUT, query.execute()).await?;
        }
        Ok(())
    }
}
