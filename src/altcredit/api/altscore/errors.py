"""How AltScore says no: one line a refusal (API-ALTSCORE-001, section 08; contract A2, A13, I1 to I6)."""

from altcredit.api.altscore.credentials import ScopeMissing, TokenMissing
from altcredit.api.altscore.score import RetailerIdInvalid
from altcredit.api.altscore.webhooks import VerifyTokenInvalid
from altcredit.api.contract import Unavailable
from altcredit.api.refusals import COMMON, Error
from altcredit.engine import consent, grievances, identity, ingestion, messaging, retailers, scoring
from altcredit.runtime import tokens
from altcredit.runtime.peer import ClientCertMalformed
from altcredit.runtime.refusal import Refusal

ERRORS: dict[type[Refusal], Error] = {
    # 401: who are you
    TokenMissing: Error(401, "TOKEN_MISSING", "The Authorization header is missing.", "Authorization हेडर नहीं है।"),
    tokens.TokenInvalid: Error(
        401, "TOKEN_INVALID", "The access token is not valid for this client.", "एक्सेस टोकन मान्य नहीं है।"
    ),
    identity.ClientInactive: Error(
        401, "TOKEN_INVALID", "The access token is not valid for this client.", "एक्सेस टोकन मान्य नहीं है।"
    ),
    tokens.TokenExpired: Error(
        401, "TOKEN_EXPIRED", "The access token has expired.", "एक्सेस टोकन की अवधि समाप्त हो गई है।"
    ),
    identity.ClientInvalid: Error(
        401, "CREDENTIALS_INVALID", "Unknown client or wrong secret.", "क्लाइंट या गुप्त कुंजी गलत है।"
    ),
    identity.CertificateUnknown: Error(
        401,
        "CERTIFICATE_INVALID",
        "A current client certificate of a distributor is needed.",
        "वितरक का मान्य क्लाइंट प्रमाणपत्र आवश्यक है।",
    ),
    identity.ApiKeyInvalid: Error(401, "API_KEY_INVALID", "The API key is not valid.", "API कुंजी मान्य नहीं है।"),
    identity.SignatureInvalid: Error(
        401, "SIGNATURE_INVALID", "The payload's signature does not match.", "पेलोड का हस्ताक्षर मेल नहीं खाता।"
    ),
    messaging.CodeInvalid: Error(
        401, "CODE_INVALID", "The code is wrong, used or expired.", "कोड गलत है, प्रयोग हो चुका है या समाप्त हो गया है।"
    ),
    # 403: you may not
    VerifyTokenInvalid: Error(403, "VERIFY_TOKEN_INVALID", "The verify token is not known.", "सत्यापन टोकन मान्य नहीं है।"),
    ScopeMissing: Error(
        403, "SCOPE_MISSING", "The token was not issued for this operation.", "यह टोकन इस कार्य के लिए नहीं है।"
    ),
    identity.DistributorMismatch: Error(
        403,
        "DISTRIBUTOR_MISMATCH",
        "Certificate, key and body do not name the same distributor.",
        "प्रमाणपत्र, कुंजी और डेटा एक ही वितरक के नहीं हैं।",
    ),
    ingestion.DistributorMismatch: Error(
        403,
        "DISTRIBUTOR_MISMATCH",
        "Certificate, key and body do not name the same distributor.",
        "प्रमाणपत्र, कुंजी और डेटा एक ही वितरक के नहीं हैं।",
    ),
    identity.DistributorSuspended: Error(
        403, "DISTRIBUTOR_SUSPENDED", "The distributor is suspended.", "वितरक निलंबित है।"
    ),
    consent.NotGranted: Error(
        403,
        "CONSENT_NOT_GRANTED",
        "The retailer has not consented to this lender, or is unknown.",
        "दुकानदार ने इस ऋणदाता को सहमति नहीं दी है, या अज्ञात है।",
    ),
    consent.ScopeMismatch: Error(
        403, "SCOPE_MISMATCH", "The purpose is not in the consent.", "यह उद्देश्य सहमति में नहीं है।"
    ),
    # 400, 404, 409, 422: it does not fit
    RetailerIdInvalid: Error(
        400,
        "INVALID_RETAILER_ID",
        "retailer_id must be ret_ and 16 hex digits.",
        "retailer_id ret_ और 16 hex अंकों का होना चाहिए।",
    ),
    retailers.GstinInvalid: Error(
        400, "INVALID_GSTIN", "The GSTIN's form or check digit is wrong.", "GSTIN का रूप या जाँच अंक गलत है।"
    ),
    ClientCertMalformed: Error(
        400, "INVALID_REQUEST", "The proxy's Client-Cert header is malformed.", "Client-Cert हेडर अमान्य है।"
    ),
    consent.LenderUnknown: Error(
        400, "INVALID_REQUEST", "lender_scope names an unknown lender.", "lender_scope में अज्ञात ऋणदाता है।"
    ),
    ingestion.BatchTooLarge: Error(
        400, "BATCH_TOO_LARGE", "A batch holds at most 1,000 records.", "एक बैच में अधिकतम 1,000 रिकॉर्ड हो सकते हैं।"
    ),
    scoring.NotScored: Error(
        404, "RETAILER_NOT_SCORED", "There is no score yet; try again later.", "अभी स्कोर उपलब्ध नहीं है; बाद में देखें।"
    ),
    consent.RetailerUnknown: Error(
        404,
        "RETAILER_UNKNOWN",
        "No shop of this distributor has this phone.",
        "इस वितरक की किसी दुकान का यह फ़ोन नहीं है।",
    ),
    grievances.CaseUnknown: Error(
        404,
        "NOT_FOUND",
        "There is no such retailer, score or grievance for this caller.",
        "इस कॉलर के लिए ऐसा कोई दुकानदार, स्कोर या शिकायत नहीं है।",
    ),
    retailers.RetailerUnknown: Error(404, "NOT_FOUND", "There is no such retailer.", "ऐसा कोई दुकानदार नहीं है।"),
    messaging.PhoneInvalid: Error(
        400,
        "INVALID_REQUEST",
        "The phone must be E.164 digits without plus.",
        "फ़ोन E.164 अंकों में, बिना plus के होना चाहिए।",
    ),
    consent.NoticeTooLong: Error(
        400,
        "INVALID_REQUEST",
        "The consent notice would be longer than a message may be: name fewer lenders.",
        "सहमति सूचना संदेश की सीमा से लंबी हो जाएगी: कम ऋणदाताओं के नाम दें।",
    ),
    messaging.ShopAmbiguous: Error(
        409,
        "RETAILER_AMBIGUOUS",
        "Several shops share this phone; name one by retailer_id.",
        "यह फ़ोन कई दुकानों का है; retailer_id दें।",
    ),
    consent.ConsentUnknown: Error(404, "CONSENT_UNKNOWN", "There is no such consent.", "ऐसी कोई सहमति नहीं है।"),
    ingestion.BatchUnknown: Error(404, "BATCH_UNKNOWN", "There is no such batch.", "ऐसा कोई बैच नहीं है।"),
    consent.RetailerAmbiguous: Error(
        409,
        "RETAILER_AMBIGUOUS",
        "Several shops share this phone; name one by retailer_ref.",
        "यह फ़ोन कई दुकानों का है; retailer_ref दें।",
    ),
    ingestion.BatchAlreadyProcessed: Error(
        409,
        "BATCH_ALREADY_PROCESSED",
        "This batch was processed; the original result stands.",
        "यह बैच पहले ही संसाधित है; मूल परिणाम मान्य है।",
    ),
    ingestion.BatchIdConflict: Error(
        409,
        "BATCH_ID_CONFLICT",
        "This X-Batch-ID was used for another body.",
        "यह X-Batch-ID किसी और डेटा के लिए प्रयोग हो चुका है।",
    ),
    scoring.DataInsufficient: Error(
        422,
        "DATA_INSUFFICIENT",
        "Too little is known of the retailer's trade to score it.",
        "स्कोर के लिए व्यापार का डेटा पर्याप्त नहीं है।",
    ),
    # 503: not now
    ingestion.LakeUnavailable: COMMON[Unavailable],
    consent.NoticeNotSetUp: COMMON[Unavailable],
}
