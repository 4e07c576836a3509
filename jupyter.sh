#!/usr/bin/env bash
# Make a virtual environment with the toolkit and JupyterLab, and open the notebooks.
#
#   ./jupyter.sh               set up what is missing, then start JupyterLab
#   ./jupyter.sh --no-start    only set up
#   ./jupyter.sh --port 8890   all other options go to `jupyter lab`
#
# PYTHON is the interpreter (default: python3, at least 3.11), VENV the folder of the environment
# (default: .venv). Everything is written to that folder: no kernel is registered, and the settings
# of JupyterLab do not mix with those of the user.
set -euo pipefail
cd "$(dirname "$0")"
venv=$PWD/${VENV:-.venv}

start=yes
options=()
for option in "$@"; do
    if [ "$option" = --no-start ]; then start=no; else options+=("$option"); fi
done

# setup.cfg names the dependencies: after a change of it, install again.
if [ ! -e "$venv/notebooks-ready" ] || [ setup.cfg -nt "$venv/notebooks-ready" ]; then
    echo "Installing the toolkit and JupyterLab in $venv; this takes a few minutes."
    [ -e "$venv/bin/pip" ] || "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --editable ".[notebook]"
    touch "$venv/notebooks-ready"
fi
if [ "$start" = no ]; then
    echo "The environment in $venv is ready. Start JupyterLab: ./jupyter.sh"
    exit
fi

export JUPYTER_CONFIG_DIR=$venv/jupyter/config JUPYTER_DATA_DIR=$venv/jupyter/data
export IPYTHONDIR=$venv/jupyter/ipython
# exec: the process of this script becomes the server, so ending one ends the other.
exec "$venv/bin/jupyter" lab --LabApp.default_url=/lab/tree/docs/notebooks/first_steps.ipynb \
    ${options[@]+"${options[@]}"}
