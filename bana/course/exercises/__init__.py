"""The exercises of the course: what an answer is tried on, and the hints for wrong ones.

One module a notebook. Each exercise is a judge: a function that takes the reader's answer, raises
`Hint` where it is wrong and returns what it was tried on where it is right. Nothing here holds a
solution for the reader; those are in the notebooks, and a test tries each of them.
"""
