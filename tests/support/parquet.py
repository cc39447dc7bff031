"""predictions.parquet as evaluate writes it, with the columns that other steps read."""

import pyarrow as pa
import pyarrow.parquet as pq


def write_predictions(directory, rows):
    """Write predictions.parquet: `rows` are (SHA-256 of the image, index of the predicted label)."""
    digests, predicted = zip(*rows, strict=True) if rows else ((), ())
    table = pa.table({"sha256": pa.array(digests, pa.string()), "predicted": pa.array(predicted, pa.int64())})
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, directory / "predictions.parquet")
