"""Health: noise of measurements and what patients say, no adversary with a keyboard."""

from holdfast.threats.profiles.profile import Known, Profile, Role

HEALTH = Profile(
    name="health",
    attacker="nobody: a second measurement on another day, and answers that might have been other ones",
    threat="table:linf=0.25",
    roles=(
        Role(
            "measured", "both", "devices and days differ; a quarter of a standard deviation is 5 mmHg of blood pressure"
        ),
        Role("answered", "both", "the patient says so, and it may be wrong; a limit of 1.1 lets every answer change"),
        Role("patchy", "no", "0 is not measured, in half of the rows, and lies within noise of the least values"),
        Role("known", "no", "who the patient is, and what needed a catheter or a camera"),
    ),
    tables=(
        Known(
            "heart_disease_sites",
            {
                "measured": ("trestbps", "chol", "thalach", "oldpeak"),
                "answered": ("cp", "exang"),
                "known": ("age", "sex", "fbs", "restecg", "slope", "ca", "thal"),
            },
            ("trestbps == 0 or trestbps >= 60", "chol == 0 or chol >= 60"),
        ),
        Known(
            "pima_diabetes",
            {
                "measured": ("glucose", "blood_pressure", "skin_thickness", "bmi"),
                "answered": ("pregnancies",),
                "patchy": ("insulin",),
                "known": ("pedigree", "age"),
            },
            (
                "glucose == 0 or glucose >= 40",
                "blood_pressure == 0 or blood_pressure >= 20",
                "skin_thickness == 0 or skin_thickness >= 5",
                "bmi == 0 or bmi >= 15",
            ),
        ),
    ),
    beyond="people who gain by a diagnosis; relations say that 0 means not measured, and no noise makes a value of it",
    sources=("Finlayson et al., Adversarial attacks on medical machine learning, Science 2019: who might, and why",),
)
