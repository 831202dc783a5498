"""Freshet: real-time recommendations on serverless pipelines."""
