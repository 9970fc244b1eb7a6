-- Version 3: leases are the process's, as the database is; for several nodes there is PostgreSQL.
DROP TABLE lease;
