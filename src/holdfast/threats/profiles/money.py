"""Fraud: what applicants and earners say of themselves. Both sets are stand-ins: no row of them was a fraud."""

from holdfast.threats.profiles.profile import Known, Profile, Role

FRAUD = Profile(
    name="fraud",
    attacker="somebody who says of himself what helps; Adult (census) and German credit (1994) STAND IN for fraud data",
    threat="table:cost=2",
    roles=(
        Role("said", "both", "a word on a form that nobody checks"),
        Role("asked", "both", "another loan than the one that was wanted is worth less", cost=2),
        Role("moved", "both", "money must be there, or be lent, on the day that somebody looks", cost=3),
        Role("earned", "up", "takes papers, real or forged", cost=5),
        Role("recorded", "no", "others keep the record: age, history, register, the bank itself"),
    ),
    tables=(
        Known(
            "adult",
            {
                "said": ("workclass", "occupation", "hours_per_week"),
                "moved": ("capital_gain", "capital_loss"),
                "earned": ("education", "education_num"),
                "recorded": (
                    "age", "fnlwgt", "marital_status", "relationship", "race", "sex", "native_country",
                ),
            },
        ),
        Known(
            "german_credit",
            {
                "said": ("purpose", "own_telephone", "other_payment_plans"),
                "asked": ("duration", "credit_amount", "installment_rate"),
                "moved": ("checking_status", "savings", "property_magnitude", "housing"),
                "recorded": (
                    "credit_history", "employment", "personal_status", "other_parties", "residence_since", "age",
                    "existing_credits", "job", "num_dependents", "foreign_worker",
                ),
            },
        ),
    ),
    beyond="what a fraud gains, beyond which no cost pays, and histories of payments, which these sets do not have",
    sources=("Kireev, Kulynych and Troncoso, NDSS 2023, arXiv:2208.13058: cost and utility instead of distance",),
)  # fmt: skip
