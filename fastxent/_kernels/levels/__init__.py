"""One module for each instruction set; setup.py has their flags."""
