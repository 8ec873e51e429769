#!/bin/sh
# The nightly run on a Spark cluster, where one machine is not enough: Spark runs the SQL of lake and features.
# The driver's Python has `altcredit[spark]`, and ALTCREDIT_* as a worker has; executors need nothing but the lake, at
# the same path on every machine. Give `--rebuild` to make silver anew from bronze.
set -eu
exec spark-submit \
    --master "${SPARK_MASTER:?as spark://host:7077, yarn, k8s://…}" \
    --conf spark.pyspark.driver.python=/opt/altcredit/bin/python \
    --conf spark.sql.session.timeZone=UTC \
    --conf spark.sql.execution.arrow.pyspark.enabled=true \
    --conf spark.sql.adaptive.enabled=true \
    "$(dirname "$0")/nightly.py" "$@"
