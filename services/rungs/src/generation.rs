//! The largest generation that ClickHouse knows: the numbers of new ones go on from it, also when the machine's clock
//! was set back between two starts.

use warehouse::{Warehouse, WarehouseError};

use crate::failure::Failure;

/// 0 in a new database.
pub(crate) async fn latest(warehouse: &Warehouse) -> Result<u64, Failure> {
    let read = || async {
        let query = warehouse.client().query("SELECT max(generation) FROM progress");
        query
            .fetch_one::<u64>()
            .await
            .map_err(|source| WarehouseError::Statement { statement: "progress".to_owned(), source })
    };
    Ok(warehouse.retry(read).await?)
}
