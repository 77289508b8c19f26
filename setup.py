"""Packages; recipes and cards lie at the top of the repository and travel inside the wheel."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["ms_restore", "ms_restore.*"]),
        "ms_restore.recipes.models",
        "ms_restore.recipes.datasets",
    ],
    package_dir={
        "ms_restore.recipes.models": "models",
        "ms_restore.recipes.datasets": "datasets",
    },
    package_data={
        "ms_restore": ["py.typed"],
        "ms_restore.metrics": ["*.npz"],
        "ms_restore.demo": ["*.html", "*.css", "*.js"],
        "ms_restore.report": ["*.html", "*.css", "*.js"],
        "ms_restore.training.cpu_operators": ["*.cc", "*.h"],
        "ms_restore.recipes.models": [
            "*.yaml",
            "*/*.yaml",
            "*/README.md",
            "*/weights/*.ckpt",
        ],
        "ms_restore.recipes.datasets": ["*/README.md"],
    },
)
