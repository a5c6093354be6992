"""Programs that are killed while they write and train: what they leave, and how it goes on.

`forks` runs functions in children of a process, and kills them; `server` is a process of one
thread for that, with torch in it; `writers` are the ways in which the library writes files, and
`trainings` the trainings that are ended and gone on with.
"""
