"""The writer of tables: FITS, Parquet, CSV, ECSV, VOTable."""
