# Workers on Google Cloud Dataflow: Beam's image of the pinned version, and the wheel of this
# library with the versions of constraints.txt. See docs/dataflow.md.
#
#   python -m pip wheel --no-deps --wheel-dir dist .
#   docker build --tag IMAGE .
FROM apache/beam_python3.11_sdk:2.77.0

COPY constraints.txt dist/gato_data-*.whl /opt/gato-data/
RUN wheel="$(echo /opt/gato-data/gato_data-*.whl)" \
    && pip install --no-cache-dir --constraint /opt/gato-data/constraints.txt "${wheel}[dataflow]" \
    && pip check \
    && python -c "import pipelines.build_sequences, pipelines.sample_sentences"

# Everything is there; without this each worker would make a virtual environment first.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
