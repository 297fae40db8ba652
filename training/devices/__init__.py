"""Device detection, selection and distribution, on one host or several."""
