# Stands in for the official Kafka image: the same program behind a small entry script.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends passwd openjdk-21-jre-headless >/dev/null 2>&1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 appuser \
    && install -d -o appuser /var/lib/kafka/data /opt/kafka/bin
COPY libs /opt/kafka/libs
COPY kafka-entry.sh /opt/kafka/entry.sh
COPY kafka-broker-api-versions.sh /opt/kafka/bin/kafka-broker-api-versions.sh
USER appuser
VOLUME /var/lib/kafka/data
ENTRYPOINT ["/opt/kafka/entry.sh"]
