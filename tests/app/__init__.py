"""Tests of the app through Streamlit's AppTest, and of what ``ui`` shares, on a tiny model with random weights."""
